// Names of files in a test's data directory.
import { join } from 'node:path';

export const databaseFileIn = (directory: string): string => join(directory, 'openclaw.db');
