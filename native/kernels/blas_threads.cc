// OpenBLAS built for threads starts one for each processor as soon as it is loaded, before it can be told that one is
// enough. Where it is linked statically, the linker puts this in place of its look at OPENBLAS_NUM_THREADS
// (--wrap in CMakeLists.txt).
extern "C" int __wrap_openblas_num_threads_env() { return 1; }
