"""The gRPC service: histories in Redis, one adapted copy a user, batches over users, metrics."""

import os

# A product of the sizes served here takes 0.06 ms on one thread and 8 ms on many threads of a busy machine.
# BLAS reads these once, when numpy is first imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")
