// Compiled schemas by their JSON, the least recently used go first.
import { CACHE_BYTES_MAX, CACHE_ENTRIES_MAX } from './limits.ts';

export function createCache<Value>() {
  const entries = new Map<string, { value: Value; bytes: number }>();
  let bytesHeld = 0;

  function remove(key: string): void {
    bytesHeld -= entries.get(key)?.bytes ?? 0;
    entries.delete(key);
  }

  function get(key: string): Value | undefined {
    const entry = entries.get(key);
    if (!entry) return undefined;
    // A map keeps the order of insertion.
    entries.delete(key);
    entries.set(key, entry);
    return entry.value;
  }

  function set(key: string, value: Value, bytes: number): void {
    remove(key);
    // One that is never kept must not push out all others.
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
