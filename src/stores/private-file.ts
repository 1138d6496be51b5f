// Files that only their owner can read, whatever the umask.
import { closeSync, fchmodSync, openSync } from 'node:fs';

export const PRIVATE_FILE_MODE = 0o600;

/** Creates an empty file if there is none. A file of another owner keeps its mode, and the start warns about it. */
export function makePrivateFile(file: string): void {
  const descriptor = openSync(file, 'a', PRIVATE_FILE_MODE);
  try {
    fchmodSync(descriptor, PRIVATE_FILE_MODE);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
  } finally {
    closeSync(descriptor);
  }
}
