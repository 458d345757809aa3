/* spin.c - keeps a virtual CPU from halting, which costs up to milliseconds to undo.
 *
 * Runs as SCHED_IDLE, so it takes only what nobody else wants; ends with the one who started it.
 */
#include <signal.h>
#include <sys/prctl.h>

int main(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#else
        __asm__ __volatile__("" ::: "memory");
#endif
}
