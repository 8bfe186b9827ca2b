// ThreadSanitizer's settings for these programs; TSAN_OPTIONS adds to them. Libraries that were built without it (gRPC, SQLite,
// libcurl) lock in ways it does not see, and would be reported.
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "ignore_noninstrumented_modules=1 second_deadlock_stack=1"; }
