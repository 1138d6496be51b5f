// `openclaw backup`: copies a SQLite installation as of one moment, while its server may run.
import { chmodSync, closeSync, copyFileSync, existsSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Config } from '../config.ts';
import { PRIVATE_FILE_MODE } from '../stores/private-file.ts';
import { copySqlite } from '../stores/sqlite.ts';
import { adminKeyFile, databaseOf, secretKeyFile } from './paths.ts';

/** SQLite and the file system may hold written data in memory, but a backup has to survive a power cut. */
function sync(path: string): void {
  const file = openSync(path, 'r');
  fsyncSync(file);
  closeSync(file);
}

/** @returns the exit code. @throws {Error} before anything is written if no backup is possible. */
export async function backup(config: Config, directory: string): Promise<number> {
  const database = databaseOf(config);
  if (config.databaseUrl !== null)
    throw new Error('The data are in PostgreSQL: back up with pg_dump, as docs/operations.md says');
  if (!existsSync(database)) throw new Error(`${config.dataDir} holds no data yet`);
  if (existsSync(directory)) throw new Error(`${directory} is there already; name a directory that is not`);
  mkdirSync(directory, { mode: 0o700 });
  // Secrets first, so a copied database always has its secrets beside it.
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
