// The table on a GPU: one kernel per verb, put together from these files by `source.py`, which puts
// the policy and all constants before them. A kernel has its arguments in two structs of words.

#include "sets.cuh"
#include "sketch.cuh"
#include "reading.cuh"
#include "owned.cuh"
#include "inserting.cuh"
#include "compacting.cuh"
#include "sampling.cuh"
#include "moving.cuh"
