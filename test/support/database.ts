// The database of one test: a new SQLite file, or with TEST_DATABASE=postgres a new database of the run's server.
import { randomText } from '../../src/ids.ts';
import { databaseFileIn } from './files.ts';
import { createDatabase } from './postgres.ts';

/** The run's PostgreSQL server. Null when the suites run on SQLite. */
export const postgresUrl = process.env.TEST_POSTGRES_URL ?? null;

export const newDatabase = async (directory: string): Promise<string> =>
  postgresUrl === null
    ? databaseFileIn(directory)
    : createDatabase(postgresUrl, `test_${randomText(16).toLowerCase()}`);
