// `openclaw backup`: one moment of a SQLite installation, copied while its server runs.
import { chmodSync, closeSync, copyFileSync, existsSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Config } from '../config.ts';
import { PRIVATE_FILE_MODE } from '../stores/private-file.ts';
import { copySqlite } from '../stores/sqlite.ts';
import { adminKeyFile, databaseOf, secretKeyFile } from './paths.ts';

/** SQLite and the file system may keep what they were given in memory; a backup has to outlive a power cut. */
function sync(path: string): void {
  const file = openSync(path, 'r');
  fsyncSync(file);
  closeSync(file);
}

/** @returns the exit code. @throws {Error} before anything is written when it can't be made. */
export async function backup(config: Config, directory: string): Promise<number> {
  const database = databaseOf(config);
  if (config.databaseUrl !== null)
    throw new Error('The data are in PostgreSQL: back up with pg_dump, as docs/operations.md says');
  if (!existsSync(database)) throw new Error(`${config.dataDir} holds no data yet`);
  if (existsSync(directory)) throw new Error(`${directory} is there already; name a directory that is not`);
  mkdirSync(directory, { mode: 0o700 });
  // The secrets come first: whoever finds a database finds what belongs to it.
  const secrets = [secretKeyFile(config.dataDir), adminKeyFile(config.dataDir)].filter(existsSync);
  for (const secret of secrets) {
    const copy = join(directory, basename(secret));
    copyFileSync(secret, copy);
    chmodSync(copy, PRIVATE_FILE_MODE);
  }
  const copy = join(directory, basename(database));
  copySqlite(database, copy);
  for (const path of [...secrets.map((secret) => join(directory, basename(secret))), copy, directory])
    sync(path);
  process.stdout.write(`${directory}\n`);
  return 0;
}
