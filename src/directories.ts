// Creates directories, and explains why a directory can't be used.
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** Error codes of the file system and of SQLite. */
const REASONS: [RegExp, string][] = [
  [/^(EROFS|SQLITE_READONLY.*)$/, 'the file system is read-only'],
  [/^(ENOSPC|EDQUOT|SQLITE_FULL)$/, 'the disk is full'],
  [/^(EACCES|EPERM)$/, 'permission denied'],
  [/^(ENOTDIR|EEXIST)$/, 'there is a file where a directory is needed'],
  [/^EISDIR$/, 'there is a directory where a file is needed'],
  [/^ENOENT$/, 'it is not there and cannot be made'],
  [/^SQLITE_CANTOPEN.*$/, 'a file in it cannot be opened'],
  [/^(EIO|SQLITE_IOERR.*)$/, 'the disk reports an error'],
  [/^(ELOOP|ENAMETOOLONG)$/, 'its path cannot be followed'],
];

/** Errors of listening and connecting share some of these codes. */
const NETWORK_CALLS = new Set(['listen', 'bind', 'connect', 'getaddrinfo']);

/** The reason why a directory can't be used, or null for an unrelated error. */
export function directoryTrouble(error: unknown): string | null {
  const { code = '', syscall = '' } = (error ?? {}) as { code?: unknown; syscall?: string };
  if (NETWORK_CALLS.has(syscall)) return null;
  return REASONS.find(([codes]) => codes.test(String(code)))?.[1] ?? null;
}

/**
 * Like `mkdir -p`. Node's own `recursive` never returns if the system reports ENOENT below an existing directory, as in /proc
 * (measured on Node 20, 24 and 26).
 */
export function makeDirectory(path: string, mode?: number): void {
  const isDirectory = () => statSync(path, { throwIfNoEntry: false })?.isDirectory();
  if (isDirectory()) return;
  if (dirname(path) !== path) makeDirectory(dirname(path), mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // Another process may have created the directory in the meantime.
    if (!isDirectory()) throw error;
  }
}
