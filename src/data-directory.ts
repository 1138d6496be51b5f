// The data directory: used by one process at a time, and the place of the installation's secrets.

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { directoryTrouble, makeDirectory } from './directories.ts';
import { openSqliteFile, SqliteUnusableError } from './sqlite-library.ts';

export interface DataDirectory {
  /** An absolute path. */
  path: string;
  /** Lets another process use the directory. Safe to call twice. */
  release(): void;
}

/**
 * Creates the directory (mode 0700) if it is missing, and holds it until `release` or the end of this process.
 * @throws {Error} if another process holds the directory.
 */
export function openDataDirectory(path: string): DataDirectory {
  const directory = resolve(path);
  makeDirectory(directory, 0o700);
  // SQLite's own message would name neither the directory nor the reason.
  accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  const lock = takeLock(directory);
  return { path: directory, release: () => lock.close() };
}

interface Lock {
  exec(sql: string): void;
  close(): void;
}

/** The part of Node 24's own SQLite module that is used here. */
interface NodeSqlite {
  DatabaseSync: new (file: string, options: { timeout: number }) => Lock;
}

/** Both libraries are SQLite and respect each other's locks. Node's own module helps where better-sqlite3 can't load. */
function openLock(file: string): Lock {
  // No time-out: a process holds the lock for its whole life.
  const options = { timeout: 0 };
  try {
    return openSqliteFile(file, options);
  } catch (error) {
    const builtIn = process.getBuiltinModule?.('node:sqlite') as NodeSqlite | undefined;
    if (!(error instanceof SqliteUnusableError) || !builtIn) throw error;
    return new builtIn.DatabaseSync(file, options);
  }
}

/** better-sqlite3 reports SQLite's error name, Node its number. */
const isBusy = (error: unknown): boolean => {
  const { code, errcode } = error as { code?: string; errcode?: number };
  return code === 'SQLITE_BUSY' || errcode === 5;
};

/**
 * Uses SQLite's lock, because Node has no file locks. The kernel releases it even on kill -9, on every system. Nothing else in
 * this process may open `lock`: closing any other descriptor of a file drops a process's POSIX locks on it.
 */
function takeLock(directory: string): Lock {
  const file = join(directory, 'lock');
  const lock = openLock(file);
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE');
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    if (isBusy(error)) throw new Error(inUseMessage(directory), { cause: error });
    // A full or read-only disk is reported as a problem of the directory.
    if (directoryTrouble(error) !== null) throw error;
    throw new Error(`The lock file ${file} is damaged. It holds no data: delete it and start again`, {
      cause: error,
    });
  }
}

function inUseMessage(directory: string): string {
  return (
    `The data directory ${directory} is in use by another OpenClaw process. ` +
    'Is `npm start` running in it already? Stop that one, or set OPENCLAW_DATA_DIR to another directory for this one.'
  );
}

/**
 * Reads the secret in `file`, without its final newline. If the file is missing, `make` supplies a new secret (mode 0600). Safe
 * only while this process holds the data directory.
 */
export function readOrCreateSecret(file: string, make: () => string): { value: string; created: boolean } {
  if (!existsSync(file)) {
    writeSecret(file, make());
    return { value: readSecret(file), created: true };
  }
  return { value: readSecret(file), created: false };
}

/** @throws {Error} naming the file if it is missing, unreadable or empty. */
export function readSecret(file: string): string {
  const value = readText(file).replace(/\r?\n$/, '');
  if (!value)
    throw new Error(
      `${file} is empty. Put the secret back from a backup, or delete the file to get a new one`,
    );
  return value;
}

/** If the path is a directory, Node's own message names no file. */
function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EISDIR') throw cause;
    throw new Error(`${file} is a directory, but has to be a file`, { cause });
  }
}

/** Synced before and after the rename: after a power cut, data protected by a secret must not exist without the secret. */
function writeSecret(file: string, value: string): void {
  const temporary = `${file}.new`;
  writeFileSync(temporary, `${value}\n`, { mode: 0o600, flush: true });
  renameSync(temporary, file);
  const directory = openSync(dirname(file), 'r');
  fsyncSync(directory);
  closeSync(directory);
}
