/* Scope-exit cleanup: each owned local names how it is released.
 *
 *   autofree char *name = xstrdup(user);
 *   autofd int fd = open(…);
 *   return steal_fd(&fd);          handing over is explicit
 *
 * A module with its own type defines a <type>_cleanup(type **) beside its free
 * function and uses CLEANUP(<type>_cleanup). */
#pragma once

#define CLEANUP(func) __attribute__((cleanup(func)))

/* free() on the pointer that goes out of scope. */
void cleanup_free(void *pointer_to_pointer);

/* close() unless negative; errno is kept. */
void cleanup_fd(const int *fd);

#define autofree CLEANUP(cleanup_free)
#define autofd CLEANUP(cleanup_fd)

/* Take ownership out of a scope-exit local; leaves -1 behind. */
int steal_fd(int *fd);

/* The same for a pointer; leaves NULL behind. */
#define steal_ptr(pp)                                                                              \
	({                                                                                         \
		__typeof__(*(pp)) stolen_ = *(pp);                                                 \
		*(pp) = NULL;                                                                      \
		stolen_;                                                                           \
	})
