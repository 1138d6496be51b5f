// Compiled schemas, keyed by their JSON. The least recently used are evicted first.
import { createHash } from 'node:crypto';
import { CACHE_BYTES_MAX, CACHE_ENTRIES_MAX } from './limits.ts';

/** V8 hashes longer texts by their length alone, so texts of the same length are compared with each other. */
const KEY_CHARS_MAX = 16_383;

const keyOf = (text: string): string =>
  text.length > KEY_CHARS_MAX ? createHash('sha256').update(text).digest('base64') : text;

export function createCache<Value>() {
  const entries = new Map<string, { value: Value; bytes: number }>();
  let bytesHeld = 0;

  function remove(key: string): void {
    bytesHeld -= entries.get(key)?.bytes ?? 0;
    entries.delete(key);
  }

  function get(text: string): Value | undefined {
    const key = keyOf(text);
    const entry = entries.get(key);
    if (!entry) return undefined;
    // Re-inserting moves the entry to the end, because a map keeps the order of insertion.
    entries.delete(key);
    entries.set(key, entry);
    return entry.value;
  }

  function set(text: string, value: Value, bytes: number): void {
    const key = keyOf(text);
    remove(key);
    // An entry too large to keep must not evict all others.
    if (bytes > CACHE_BYTES_MAX) return;
    entries.set(key, { value, bytes });
    bytesHeld += bytes;
    for (const oldest of entries.keys()) {
      if (entries.size <= CACHE_ENTRIES_MAX && bytesHeld <= CACHE_BYTES_MAX) return;
      remove(oldest);
    }
  }

  return { get, set };
}
