/* What Debian's libstdc++.a and libgcc_eh.a ask of glibc, answered by musl: from them a libstdc++.so.6 is linked, with which a
   runtime for Alpine runs on Debian's musl. For tests alone. */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

char __libc_single_threaded = 0;

int __pthread_key_create(pthread_key_t* key, void (*destroy)(void*)) { return pthread_key_create(key, destroy); }

size_t __strftime_l(char* text, size_t most, const char* format, const struct tm* time, locale_t locale) {
  return strftime_l(text, most, format, time, locale);
}

uint32_t arc4random(void) {
  uint32_t bits;
  if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits)) abort();
  return bits;
}

/* Where the tables for exceptions lie of the library that holds an address. */
struct Found {
  unsigned long long flags;
  void *begin, *end;
  struct link_map* map;
  void* tables;
  unsigned long long reserved[7];
};
struct Search {
  uintptr_t address;
  struct Found* found;
};

static int Look(struct dl_phdr_info* library, size_t size, void* argument) {
  (void)size;
  struct Search* search = argument;
  uintptr_t begin = UINTPTR_MAX, end = 0, tables = 0;
  int holds = 0;
  for (int i = 0; i < library->dlpi_phnum; i++) {
    const ElfW(Phdr)* part = &library->dlpi_phdr[i];
    const uintptr_t at = library->dlpi_addr + part->p_vaddr;
    if (part->p_type == PT_GNU_EH_FRAME) tables = at;
    if (part->p_type != PT_LOAD) continue;
    if (search->address - at < part->p_memsz) holds = 1;
    if (at < begin) begin = at;
    if (at + part->p_memsz > end) end = at + part->p_memsz;
  }
  if (!holds || tables == 0) return 0;
  *search->found = (struct Found){.begin = (void*)begin, .end = (void*)end, .tables = (void*)tables};
  return 1;
}

int _dl_find_object(void* address, struct Found* found) {
  struct Search search = {(uintptr_t)address, found};
  return dl_iterate_phdr(Look, &search) ? 0 : -1;
}

/* Destructors of a thread's own objects, the last first. */
struct Destructor {
  void (*run)(void*);
  void* object;
  struct Destructor* next;
};
static pthread_key_t destructors;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void RunAll(void* first) {
  for (struct Destructor* one = first; one != NULL;) {
    struct Destructor* next = one->next;
    one->run(one->object);
    free(one);
    one = next;
  }
}
static void Begin(void) { pthread_key_create(&destructors, RunAll); }

int __cxa_thread_atexit_impl(void (*run)(void*), void* object, void* library) {
  (void)library;
  pthread_once(&once, Begin);
  struct Destructor* one = malloc(sizeof(*one));
  if (one == NULL) return -1;
  *one = (struct Destructor){run, object, pthread_getspecific(destructors)};
  return pthread_setspecific(destructors, one);
}
