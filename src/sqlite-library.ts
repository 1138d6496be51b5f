// Loads better-sqlite3 only when a database is opened. Its native part fits one version of Node only, and a server on PostgreSQL
// runs without it.
import { createRequire } from 'node:module';
import type SQLite from 'better-sqlite3';

const load = createRequire(import.meta.url);

/** Versions of Node's native interface, with their Node versions. */
const NODE_OF_ABI: Record<string, string> = {
  '108': '18',
  '115': '20',
  '127': '22',
  '131': '23',
  '137': '24',
  '141': '25',
  '147': '26',
};

/** better-sqlite3 is missing, or was built for another Node. */
export class SqliteUnusableError extends Error {
  override readonly name = 'SqliteUnusableError';
}

function isOfLoading(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  // The last message comes from the package that searches for the native part.
  return (
    code === 'ERR_DLOPEN_FAILED' ||
    code === 'MODULE_NOT_FOUND' ||
    error.message.startsWith('Could not locate the bindings file')
  );
}

function reasonOf({ message }: Error): string {
  const [built] = /NODE_MODULE_VERSION \d+/.exec(message) ?? [];
  if (!built) return 'its native part is missing or damaged';
  const abi = built.replace(/\D+/, '');
  return `it was built for Node ${NODE_OF_ABI[abi] ?? `with module version ${abi}`}, and this is Node ${process.versions.node}`;
}

/** Keeps the first failure, which names the reason. Node loads a native part once, and a second attempt fails differently. */
let unusable: SqliteUnusableError | undefined;

/** @throws {SqliteUnusableError} with the fix. */
export function openSqliteFile(file: string, options: SQLite.Options): SQLite.Database {
  if (unusable) throw unusable;
  try {
    const Database = load('better-sqlite3') as typeof SQLite;
    return new Database(file, options);
  } catch (cause) {
    if (!isOfLoading(cause)) {
      // SQLite's own message names no file.
      if (cause instanceof Error) cause.message = `${cause.message}: ${file}`;
      throw cause;
    }
    unusable = new SqliteUnusableError(
      `SQLite can't be used: better-sqlite3 can't be loaded, because ${reasonOf(cause)}. ` +
        'Run `npm rebuild better-sqlite3` with this Node, or start with the Node that ran `npm ci`, or set DATABASE_URL to store in PostgreSQL.',
      { cause },
    );
    throw unusable;
  }
}
