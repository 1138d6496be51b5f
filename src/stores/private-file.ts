// Files that only their owner may read, whatever the umask is.
import { closeSync, fchmodSync, openSync } from 'node:fs';

export const PRIVATE_FILE_MODE = 0o600;

/** Makes an empty file when it is missing. A file of another owner keeps its mode: the start warns of it. */
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
