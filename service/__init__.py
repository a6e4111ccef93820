"""The gRPC service: histories in Redis, one adapted copy a user, batches over users, metrics."""

import os

# Products of the sizes served here are far slower on many threads than on one where cores are busy.
# BLAS reads these once, when numpy is first imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")
