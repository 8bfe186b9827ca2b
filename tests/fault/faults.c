// LD_PRELOAD: file system calls below one directory fail, fall short or kill the process when told to, and a journal keeps what
// was made durable (replay.py turns it into what is left after a power failure).
//   FAULTS_UNDER    the directory, absolute and without symbolic links
//   FAULTS_KIND     enospc, eio, short (a write takes half), crash (the process dies instead of the call), skip (an fsync does
//                   nothing and says it worked, as if it were not there); anything else: no fault
//   FAULTS_AT       which matching call, from 1; for short only writes count, for skip only syncs
//   FAULTS_JOURNAL  a file outside the directory; snapshots of synced files go beside it, as FAULTS_JOURNAL.<number>
// Journal lines have tabs between their fields: operation, inode or path, and so on; see Note() and its callers.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char under[PATH_MAX], kind[16], journal[PATH_MAX];
static long at, calls;
static int journal_fd = -1, snapshots;

__attribute__((constructor)) static void Start(void) {
  const char* value = getenv("FAULTS_UNDER");
  if (value != NULL) snprintf(under, sizeof(under), "%s", value);
  value = getenv("FAULTS_KIND");
  if (value != NULL) snprintf(kind, sizeof(kind), "%s", value);
  value = getenv("FAULTS_AT");
  if (value != NULL) at = atol(value);
  value = getenv("FAULTS_JOURNAL");
  if (value == NULL) return;
  snprintf(journal, sizeof(journal), "%s", value);
  journal_fd = (int)syscall(SYS_openat, AT_FDCWD, journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void Note(const char* format, ...) {
  if (journal_fd < 0) return;
  char line[3 * PATH_MAX];
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  if (syscall(SYS_write, journal_fd, line, (size_t)length) != length) abort();
}

static int Below(const char* path) {
  const size_t length = strlen(under);
  return length > 0 && strncmp(path, under, length) == 0 && (path[length] == '/' || path[length] == 0);
}

// The absolute path of `path` relative to `directory`; it need not exist.
static const char* Absolute(int directory, const char* path, char* out) {
  if (path[0] == '/') return path;
  char base[PATH_MAX] = "";
  if (directory == AT_FDCWD) {
    if (getcwd(base, sizeof(base)) == NULL) return path;
  } else {
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", directory);
    const ssize_t n = readlink(link, base, sizeof(base) - 1);
    if (n < 0) return path;
    base[n] = 0;
  }
  if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) abort();
  return out;
}

// Whether the file open as `fd` is below the directory, and which it is.
static int FileOf(int fd, unsigned long* inode) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, path, sizeof(path) - 1);
  if (n < 0) return 0;
  path[n] = 0;
  struct stat info;
  if (!Below(path) || fstat(fd, &info) != 0) return 0;
  *inode = info.st_ino;
  return 1;
}

enum Call { kOther, kWrite, kSync };

// What happens to this call: 0 nothing, 1 it fails with errno set, 2 it does half, 3 it does nothing and succeeds.
static int Fault(enum Call call, const char* name) {
  int result = 0;
  pthread_mutex_lock(&mutex);
  const int counts = strcmp(kind, "short") == 0 ? call == kWrite : strcmp(kind, "skip") == 0 ? call == kSync : 1;
  if (counts && ++calls == at) {
    if (strcmp(kind, "enospc") == 0) errno = ENOSPC, result = 1;
    if (strcmp(kind, "eio") == 0) errno = EIO, result = 1;
    if (strcmp(kind, "short") == 0) result = 2;
    if (strcmp(kind, "skip") == 0) result = 3;
    const int crash = strcmp(kind, "crash") == 0;
    if (result != 0 || crash) Note("fired\t%s\t%ld\t%s\n", kind, at, name);
    if (crash) kill(getpid(), SIGKILL);
  }
  pthread_mutex_unlock(&mutex);
  return result;
}

#define REAL(type, name, ...)                                        \
  static type (*real)(__VA_ARGS__);                                  \
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, #name);

static int OpenAt(int directory, const char* path, int flags, mode_t mode) {
  char room[PATH_MAX];
  const char* absolute = Absolute(directory, path, room);
  if (!Below(absolute)) return (int)syscall(SYS_openat, directory, path, flags, mode);
  if (Fault(kOther, "open") == 1) return -1;
  struct stat info;
  const int created = (flags & O_CREAT) != 0 && stat(absolute, &info) != 0;
  const int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
  if (fd >= 0 && created && fstat(fd, &info) == 0) Note("create\t%lu\t%s\n", (unsigned long)info.st_ino, absolute);
  return fd;
}

static mode_t ModeOf(int flags, va_list arguments) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

#define DEFINE_OPEN(name)                              \
  int name(const char* path, int flags, ...) {         \
    va_list arguments;                                 \
    va_start(arguments, flags);                        \
    const mode_t mode = ModeOf(flags, arguments);      \
    va_end(arguments);                                 \
    return OpenAt(AT_FDCWD, path, flags, mode);        \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name)                                     \
  int name(int directory, const char* path, int flags, ...) {   \
    va_list arguments;                                          \
    va_start(arguments, flags);                                 \
    const mode_t mode = ModeOf(flags, arguments);               \
    va_end(arguments);                                          \
    return OpenAt(directory, path, flags, mode);                \
  }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

ssize_t write(int fd, const void* data, size_t size) {
  unsigned long inode;
  if (!FileOf(fd, &inode)) return syscall(SYS_write, fd, data, size);
  const int fault = Fault(kWrite, "write");
  if (fault == 1) return -1;
  if (fault == 2) size = (size + 1) / 2;
  Note("write\t%lu\n", inode);
  return syscall(SYS_write, fd, data, size);
}

static ssize_t PositionedWrite(int fd, const void* data, size_t size, off_t offset) {
  unsigned long inode;
  if (FileOf(fd, &inode)) {
    const int fault = Fault(kWrite, "pwrite");
    if (fault == 1) return -1;
    if (fault == 2) size = (size + 1) / 2;
    Note("write\t%lu\n", inode);
  }
  return syscall(SYS_pwrite64, fd, data, size, offset);
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) { return PositionedWrite(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void* data, size_t size, off_t offset) { return PositionedWrite(fd, data, size, offset); }

static int Truncate(int fd, off_t size) {
  unsigned long inode;
  if (FileOf(fd, &inode)) {
    if (Fault(kOther, "ftruncate") == 1) return -1;
    Note("write\t%lu\n", inode);
  }
  return (int)syscall(SYS_ftruncate, fd, size);
}
int ftruncate(int fd, off_t size) { return Truncate(fd, size); }
int ftruncate64(int fd, off_t size) { return Truncate(fd, size); }

// A copy of what the file holds now: that much is durable from here on.
static int Snapshot(unsigned long inode, int fd) {
  char path[PATH_MAX + 32], link[64], buffer[1 << 16];
  do {
    snprintf(path, sizeof(path), "%s.%d", journal, ++snapshots);
  } while (access(path, F_OK) == 0);  // of an earlier process
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const int in = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC),
            out = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (in < 0 || out < 0) abort();
  for (ssize_t n; (n = read(in, buffer, sizeof(buffer))) > 0;) {
    if (syscall(SYS_write, out, buffer, (size_t)n) != n) abort();
  }
  close(in);
  close(out);
  Note("sync\t%lu\t%s\n", inode, path);
  return 0;
}

static int Sync(int fd, long number, const char* name) {
  unsigned long inode;
  struct stat info;
  if (!FileOf(fd, &inode) || fstat(fd, &info) != 0) return (int)syscall(number, fd);
  const int fault = Fault(kSync, name);
  if (fault == 3) return 0;
  if (fault == 1) {
    const int error = errno;
    Note("syncfailed\t%lu\n", inode);
    errno = error;
    return -1;
  }
  const int result = (int)syscall(number, fd);
  if (result != 0 || journal_fd < 0) return result;
  if (S_ISREG(info.st_mode)) return Snapshot(inode, fd);
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, path, sizeof(path) - 1);
  if (n > 0) path[n] = 0, Note("syncdir\t%s\n", path);
  return 0;
}
int fsync(int fd) { return Sync(fd, SYS_fsync, "fsync"); }
int fdatasync(int fd) { return Sync(fd, SYS_fdatasync, "fdatasync"); }

// Starts write-back and promises nothing: never a sync.
int sync_file_range(int fd, off64_t offset, off64_t size, unsigned int flags) {
  REAL(int, sync_file_range, int, off64_t, off64_t, unsigned int)
  unsigned long inode;
  if (FileOf(fd, &inode) && Fault(kOther, "sync_file_range") == 1) return -1;
  return real(fd, offset, size, flags);
}

int fchmod(int fd, mode_t mode) {
  unsigned long inode;
  if (FileOf(fd, &inode) && Fault(kOther, "fchmod") == 1) return -1;
  return (int)syscall(SYS_fchmod, fd, mode);
}

// Calls that take two names.
static int Names(const char* operation, int from_directory, const char* from, int to_directory, const char* to, int flags) {
  char from_room[PATH_MAX], to_room[PATH_MAX];
  const char *from_path = Absolute(from_directory, from, from_room), *to_path = Absolute(to_directory, to, to_room);
  const int matches = Below(from_path) || Below(to_path), linking = strcmp(operation, "link") == 0;
  if (matches && Fault(kOther, operation) == 1) return -1;
  const int result = (int)syscall(linking ? SYS_linkat : SYS_renameat2, from_directory, from, to_directory, to, flags);
  if (result == 0 && matches) Note("%s\t%s\t%s\n", operation, from_path, to_path);
  return result;
}
int rename(const char* from, const char* to) { return Names("rename", AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char* from, int b, const char* to) { return Names("rename", a, from, b, to, 0); }
int renameat2(int a, const char* from, int b, const char* to, unsigned flags) {
  return Names("rename", a, from, b, to, (int)flags);
}
int link(const char* from, const char* to) { return Names("link", AT_FDCWD, from, AT_FDCWD, to, 0); }
int linkat(int a, const char* from, int b, const char* to, int flags) { return Names("link", a, from, b, to, flags); }

static int Remove(int directory, const char* path, int flags) {
  char room[PATH_MAX];
  const char* absolute = Absolute(directory, path, room);
  if (Below(absolute) && Fault(kOther, "unlink") == 1) return -1;
  const int result = (int)syscall(SYS_unlinkat, directory, path, flags);
  if (result == 0 && Below(absolute)) Note("unlink\t%s\n", absolute);
  return result;
}
int unlink(const char* path) { return Remove(AT_FDCWD, path, 0); }
int unlinkat(int directory, const char* path, int flags) { return Remove(directory, path, flags); }
int rmdir(const char* path) { return Remove(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char* path) {
  struct stat info;
  return Remove(AT_FDCWD, path, lstat(path, &info) == 0 && S_ISDIR(info.st_mode) ? AT_REMOVEDIR : 0);
}

static int MakeDirectory(int directory, const char* path, mode_t mode) {
  char room[PATH_MAX];
  const char* absolute = Absolute(directory, path, room);
  if (Below(absolute) && Fault(kOther, "mkdir") == 1) return -1;
  const int result = (int)syscall(SYS_mkdirat, directory, path, mode);
  if (result == 0 && Below(absolute)) Note("mkdir\t%s\n", absolute);
  return result;
}
int mkdir(const char* path, mode_t mode) { return MakeDirectory(AT_FDCWD, path, mode); }
int mkdirat(int directory, const char* path, mode_t mode) { return MakeDirectory(directory, path, mode); }
