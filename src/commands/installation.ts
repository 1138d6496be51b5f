// Checks the required contents of a data directory before a server uses it, and the permissions of its files.
import { chmodSync, existsSync, lstatSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { readSecret } from '../data-directory.ts';
import { createLog } from '../log.ts';
import { openStore } from '../stores/open.ts';
import { PRIVATE_FILE_MODE } from '../stores/private-file.ts';
import { refuseOtherSecret } from '../stores/secret-check.ts';
import { checkSqlite } from '../stores/sqlite-check.ts';
import { adminKeyFile, databaseOf, secretKeyFile } from './paths.ts';

const FOR_OTHERS = 0o077;
const PRIVATE_DIRECTORY = 0o700;

const DATABASE_SUFFIXES = ['', '-wal', '-shm', '-journal'];

/** A directory with all its contents. Doesn't follow links. */
function* treeOf(path: string): Generator<string> {
  const entry = lstatSync(path, { throwIfNoEntry: false });
  if (!entry || entry.isSymbolicLink()) return;
  yield path;
  if (entry.isDirectory()) for (const name of readdirSync(path)) yield* treeOf(join(path, name));
}

/** OpenClaw's own files. The directory may hold other files, too. */
function* filesOf(dataDir: string): Generator<string> {
  for (const suffix of DATABASE_SUFFIXES) yield* treeOf(join(dataDir, `openclaw.db${suffix}`));
  const others = [adminKeyFile(dataDir), secretKeyFile(dataDir)];
  for (const name of ['lock', 'lock-journal']) others.push(join(dataDir, name));
  for (const file of others) yield* treeOf(file);
  yield* treeOf(join(dataDir, 'temporal'));
}

/**
 * Removes the permissions of other users from files made by an earlier version or under another umask.
 * @returns the files that keep their mode.
 */
function tighten(dataDir: string): string[] {
  const left: string[] = [];
  for (const path of filesOf(dataDir)) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (!stats || (stats.mode & FOR_OTHERS) === 0) continue;
    try {
      chmodSync(path, stats.isDirectory() ? PRIVATE_DIRECTORY : PRIVATE_FILE_MODE);
    } catch {
      left.push(path);
    }
  }
  return left;
}

const howToGoOn = (dataDir: string): string =>
  'Put it back from a backup (docs/operations.md). To start anew, move ' +
  `${dataDir} away or set OPENCLAW_DATA_DIR to another directory`;

/**
 * Refuses a data directory with `admin.key` but without its database: a start would overwrite the key and lose its data. Changes
 * nothing.
 * @returns true if the database is in use.
 * @throws {Error} naming the file at fault, the way to restore it and the way to start anew.
 */
export function requireDatabase(config: Config): boolean {
  const { dataDir } = config;
  const [file, key, secret] = [databaseOf(config), adminKeyFile(dataDir), secretKeyFile(dataDir)];
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  const isUsed = size ? checkSqlite(file) : false;
  if (!isUsed && existsSync(key)) {
    const state = size === undefined ? 'is missing' : 'is empty';
    throw new Error(`The database ${file} ${state}, but ${key} belongs to one. ${howToGoOn(dataDir)}`);
  }
  // A start writes the secret before the database. The secret protects data in the database.
  if (isUsed && config.secretKey === null && !existsSync(secret))
    throw new Error(`${secret} is missing, but the database ${file} was made with it. ${howToGoOn(dataDir)}`);
  return isUsed;
}

/**
 * Compares the secret with the database, before the slow parts of a start. Changes nothing.
 * @throws {Error} naming the way to restore the secret.
 */
export async function checkSecret(config: Config): Promise<void> {
  const secret = config.secretKey ?? readSecret(secretKeyFile(config.dataDir));
  const { db } = openStore(databaseOf(config), createLog('silent'));
  try {
    await refuseOtherSecret(db, secret);
  } finally {
    await db.destroy();
  }
}

/**
 * Safe only while this process holds the data directory.
 * @returns warnings for the operator.
 * @throws {Error} as `requireDatabase` and `checkSecret` do.
 */
export async function checkInstallation(config: Config): Promise<string[]> {
  const left = tighten(config.dataDir);
  if (config.databaseUrl === null && requireDatabase(config)) await checkSecret(config);
  return left.map((path) => `${path} can be read by others, and its mode can't be changed`);
}
