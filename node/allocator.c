/* allocator - the process's malloc is jemalloc (docs/decisions/0009-allocator-and-checksum.md); this is what it is told. */

/* Read by the library before main, by this name (jemalloc(3), TUNING). What was freed stays for half a minute, for the next memtable
 * and the next body, and then goes back to the system, by a thread of its own, so that a node that rests does too. Two arenas a
 * core, not four: what one thread has freed is used again by another one the sooner. */
__attribute__((visibility("default"))) extern const char *malloc_conf;
const char *malloc_conf = "background_thread:true,dirty_decay_ms:30000,narenas_ratio:2";
