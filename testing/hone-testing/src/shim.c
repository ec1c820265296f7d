// Fails one call of the program it is loaded into, or delays some: for tests (`faults.rs`, which compiles it and LD_PRELOADs it).
//
// Programs in Rust make many system calls without the C library, so these are caught where all go by: seccomp(2) sends
// SIGSYS for each that a test may want to fail, and the handler makes the call itself or gives an error back. Memory and
// threads are functions of the C library, and replaced.
//
// What to do is in a file of 64-bit numbers that the environment variable HONE_FAULTS names, shared with the test, which
// may change it at any time. Not for programs that execute others: those would keep the filter without the handler.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

// The same numbers are in `faults.rs`.
enum class { NONE, WRITE, READ, DESCRIPTOR, NAME, WAIT, MAP, BPF, THREAD, MEMORY, CLASSES };

struct control {
	uint64_t class;    // whose calls fail or are slow
	uint64_t nth;      // the first one that fails, from 1; 0: none
	uint64_t times;    // how many fail
	uint64_t error;    // with this errno; 0: half of what was asked for is done
	uint64_t delay_us; // each call of the class takes so much longer
	uint64_t failed;   // how many have failed
	uint64_t what;     // the system call that failed last; or of memory, bytes asked for
	uint64_t where;    // its first argument
	uint64_t calls[CLASSES]; // counted so far
};

static struct control *control;

static const struct { int number; enum class class; } caught[] = {
	{ SYS_write, WRITE }, { SYS_writev, WRITE }, { SYS_pwrite64, WRITE }, { SYS_sendto, WRITE }, { SYS_sendmsg, WRITE },
	{ SYS_read, READ }, { SYS_readv, READ }, { SYS_pread64, READ }, { SYS_recvfrom, READ }, { SYS_recvmsg, READ },
	{ SYS_getdents64, READ },
	{ SYS_openat, DESCRIPTOR }, { SYS_socket, DESCRIPTOR }, { SYS_socketpair, DESCRIPTOR }, { SYS_accept4, DESCRIPTOR },
	{ SYS_eventfd2, DESCRIPTOR }, { SYS_pipe2, DESCRIPTOR }, { SYS_epoll_create1, DESCRIPTOR }, { SYS_dup, DESCRIPTOR },
	{ SYS_fcntl, DESCRIPTOR }, { SYS_perf_event_open, DESCRIPTOR }, { SYS_memfd_create, DESCRIPTOR },
	{ SYS_renameat2, NAME }, { SYS_unlinkat, NAME }, { SYS_mkdirat, NAME }, { SYS_ftruncate, NAME }, { SYS_fsync, NAME },
	{ SYS_fdatasync, NAME }, { SYS_fchmod, NAME }, { SYS_fchmodat, NAME }, { SYS_fchownat, NAME }, { SYS_fstat, NAME },
	{ SYS_newfstatat, NAME }, { SYS_statx, NAME }, { SYS_readlinkat, NAME }, { SYS_lseek, NAME }, { SYS_flock, NAME },
	{ SYS_ioctl, NAME }, { SYS_bind, NAME }, { SYS_listen, NAME }, { SYS_connect, NAME }, { SYS_getsockopt, NAME },
	{ SYS_setsockopt, NAME }, { SYS_prctl, NAME }, { SYS_capset, NAME }, { SYS_capget, NAME },
	{ SYS_ppoll, WAIT }, { SYS_epoll_pwait, WAIT }, { SYS_epoll_ctl, WAIT },
	{ SYS_mmap, MAP },
	{ SYS_bpf, BPF },
#ifdef __x86_64__
	{ SYS_open, DESCRIPTOR }, { SYS_accept, DESCRIPTOR },
	{ SYS_rename, NAME }, { SYS_unlink, NAME }, { SYS_mkdir, NAME }, { SYS_chmod, NAME }, { SYS_chown, NAME },
	{ SYS_stat, NAME }, { SYS_lstat, NAME }, { SYS_readlink, NAME },
	{ SYS_poll, WAIT }, { SYS_epoll_wait, WAIT },
#endif
};
#define CAUGHT (sizeof caught / sizeof *caught)

// A system call that the filter lets pass: it knows the address behind the instruction.
long fault_pass(long number, const long *arguments);
extern const char fault_passed[];

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
asm(".text\n.type fault_pass,@function\nfault_pass:\n"
    "mov %rdi,%rax\nmov %rsi,%r11\nmov 0(%r11),%rdi\nmov 8(%r11),%rsi\nmov 16(%r11),%rdx\nmov 24(%r11),%r10\n"
    "mov 32(%r11),%r8\nmov 40(%r11),%r9\nsyscall\nfault_passed:\nret\n.size fault_pass,.-fault_pass\n");
#elif defined __aarch64__
#define ARCHITECTURE AUDIT_ARCH_AARCH64
asm(".text\n.type fault_pass,%function\nfault_pass:\n"
    "mov x8,x0\nmov x9,x1\nldp x0,x1,[x9]\nldp x2,x3,[x9,#16]\nldp x4,x5,[x9,#32]\nsvc #0\nfault_passed:\nret\n"
    ".size fault_pass,.-fault_pass\n");
#else
#error "not known how this processor makes system calls"
#endif

static void wait_us(uint64_t us)
{
	struct timespec time = { us / 1000000, us % 1000000 * 1000 };
	long arguments[6] = { (long)&time };
	fault_pass(SYS_nanosleep, arguments);
}

// Counts a call; the errno it is to fail with, 0: half of it is to be done, -1: nothing.
static long fault(enum class class, uint64_t what, uint64_t where)
{
	struct control *c = control;
	if (!c)
		return -1;
	uint64_t number = __atomic_add_fetch(&c->calls[class], 1, __ATOMIC_RELAXED);
	if (__atomic_load_n(&c->class, __ATOMIC_ACQUIRE) != class)
		return -1;
	if (c->delay_us)
		wait_us(c->delay_us);
	if (!c->nth || number < c->nth || number - c->nth >= c->times)
		return -1;
	c->what = what;
	c->where = where;
	__atomic_add_fetch(&c->failed, 1, __ATOMIC_RELEASE);
	return c->error;
}

static void caught_call(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
	int number = info->si_syscall;
#if defined __x86_64__
	greg_t *r = machine->gregs;
	long arguments[6] = { r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9] };
#else
	unsigned long long *r = machine->regs;
	long arguments[6] = { r[0], r[1], r[2], r[3], r[4], r[5] };
#endif
	enum class class = NONE;
	for (size_t i = 0; i < CAUGHT; i++)
		if (caught[i].number == number)
			class = caught[i].class;
	if (number == SYS_fcntl && arguments[1] != F_DUPFD && arguments[1] != F_DUPFD_CLOEXEC)
		class = NONE;
	// Naming a thread is nothing that anybody needs.
	if (number == SYS_prctl && (arguments[0] == PR_SET_NAME || arguments[0] == PR_GET_NAME))
		class = NONE;
	long error = fault(class, number, arguments[0]);
	if (error == 0 && (class == WRITE || class == READ) && arguments[2] > 1 && number != SYS_getdents64 &&
	    number != SYS_writev && number != SYS_readv && number != SYS_sendmsg && number != SYS_recvmsg)
		arguments[2] /= 2;
	long result = error > 0 ? -error : fault_pass(number, arguments);
#if defined __x86_64__
	r[REG_RAX] = result;
#else
	r[0] = result;
#endif
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("HONE_FAULTS");
	if (!path)
		return;
	int file = open(path, O_RDWR | O_CLOEXEC);
	void *map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (file < 0 || map == MAP_FAILED) {
		perror(path);
		_exit(99);
	}
	close(file);

	struct sigaction action = { .sa_sigaction = caught_call, .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sock_filter filter[CAUGHT + 9];
	size_t count = 0;
	uintptr_t passed = (uintptr_t)fault_passed;
	const unsigned load = BPF_LD | BPF_W | BPF_ABS, equal = BPF_JMP | BPF_JEQ | BPF_K, answer = BPF_RET | BPF_K;
	const size_t at = offsetof(struct seccomp_data, instruction_pointer);
#define ADD(...) (filter[count++] = (struct sock_filter)__VA_ARGS__)
	ADD(BPF_STMT(load, at)); // both processors are little-endian
	ADD(BPF_JUMP(equal, (uint32_t)passed, 0, 3));
	ADD(BPF_STMT(load, at + 4));
	ADD(BPF_JUMP(equal, (uint32_t)((uint64_t)passed >> 32), 0, 1));
	ADD(BPF_STMT(answer, SECCOMP_RET_ALLOW));
	ADD(BPF_STMT(load, offsetof(struct seccomp_data, nr)));
	for (size_t i = 0; i < CAUGHT; i++)
		ADD(BPF_JUMP(equal, caught[i].number, CAUGHT - i, 0));
	ADD(BPF_STMT(answer, SECCOMP_RET_ALLOW));
	ADD(BPF_STMT(answer, SECCOMP_RET_TRAP));
	struct sock_fprog program = { count, filter };
	// Root needs no prctl(PR_SET_NO_NEW_PRIVS) for this; others do.
	if (sigaction(SIGSYS, &action, NULL) || (geteuid() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("seccomp");
		_exit(99);
	}
	control = map;
}

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static int no_memory(size_t bytes)
{
	if (fault(MEMORY, bytes, 0) < 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t bytes)
{
	return no_memory(bytes) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
	return no_memory(count * bytes) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
	return no_memory(bytes) ? NULL : __libc_realloc(old, bytes);
}

int posix_memalign(void **result, size_t alignment, size_t bytes)
{
	void *memory = no_memory(bytes) ? NULL : __libc_memalign(alignment, bytes);
	if (!memory)
		return ENOMEM;
	*result = memory;
	return 0;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
	static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
	long error = fault(THREAD, 0, 0);
	return error > 0 ? (int)error : next(thread, attributes, start, argument);
}
