/* An MPI library of two ranks whose other rank cannot be reached: nothing is ever done, and what sends or ends never returns. */
#include <unistd.h>

#define UNUSED(name) \
  int name(void) { return 0; }

static void stuck(void) {
  for (;;) pause();
}

int ompi_mpi_comm_world, ompi_mpi_byte, ompi_mpi_float, ompi_mpi_double, ompi_mpi_op_sum;

int MPI_Init_thread(int* argc, char*** argv, int wanted, int* given) { return *given = wanted, 0; }
int MPI_Initialized(int* yes) { return *yes = 0; }
int MPI_Comm_rank(void* comm, int* rank) { return *rank = 0; }
int MPI_Comm_size(void* comm, int* size) { return *size = 2, 0; }
int MPI_Test(void* request, int* done, void* status) { return *done = 0; }
int MPI_Iprobe(int from, int tag, void* comm, int* there, void* status) { return *there = 0; }
int MPI_Get_library_version(char* text, int* length) { return text[0] = 'x', text[1] = 0, *length = 1, 0; }
int MPI_Isend(void) { return stuck(), 0; }
int MPI_Abort(void* comm, int code) { return stuck(), 0; }
UNUSED(MPI_Comm_dup)
UNUSED(MPI_Allreduce)
UNUSED(MPI_Iallreduce)
UNUSED(MPI_Ibcast)
UNUSED(MPI_Ibarrier)
UNUSED(MPI_Irecv)
UNUSED(MPI_Recv)
UNUSED(MPI_Finalize)
