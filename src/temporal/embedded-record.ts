// server.json: what the next start has to know of the embedded server, also when this process is killed with -9.

import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServerPorts } from './free-ports.ts';
import type { ProcessIdentity } from './process-identity.ts';

const RECORD_FILE = 'server.json';

/** Earlier releases chose two of them, and left the others to the server. */
export type RecordedPorts = Partial<ServerPorts> & Pick<ServerPorts, 'grpc' | 'ui'>;

export interface ServerRecord {
  /** Null after a clean stop; the ports are kept, for people's shells and clients remember them. */
  process: ProcessIdentity | null;
  ports: RecordedPorts;
  /** Equal for servers that are the same but for their ports. */
  fingerprint: string;
  databaseFile: string;
}

export interface ServerFiles {
  directory: string;
  databaseFile: string;
  logFile: string;
}

/** Each version has its own directory: a newer server changes the database's schema, an older one cannot read it then. */
export function serverFiles(dataDir: string, version: string): ServerFiles {
  const directory = join(dataDir, 'temporal', version);
  return { directory, databaseFile: join(directory, 'temporal.db'), logFile: join(directory, 'server.log') };
}

/** Synchronous, so that nothing lies between starting a server and writing it down. */
export function writeRecord(directory: string, record: ServerRecord): void {
  const path = join(directory, RECORD_FILE);
  writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`);
  renameSync(`${path}.new`, path);
}

/** @returns null for a missing record, a damaged one, and one that a copied data directory brought along. */
export function readRecord(files: ServerFiles): ServerRecord | null {
  try {
    const record: ServerRecord = JSON.parse(readFileSync(join(files.directory, RECORD_FILE), 'utf8'));
    return isComplete(record) && !isOfCopy(record, files) ? record : null;
  } catch {
    return null;
  }
}

function isComplete({ process, ports, fingerprint, databaseFile }: ServerRecord): boolean {
  const processIsKnown =
    process === null || (Number.isInteger(process.pid) && typeof process.startTime === 'string');
  const portsAreKnown = Number.isInteger(ports.grpc) && Number.isInteger(ports.ui);
  return (
    processIsKnown && portsAreKnown && typeof fingerprint === 'string' && typeof databaseFile === 'string'
  );
}

/** The server of the directory that was copied is in use there and must not be ended from here; a moved one is ours. */
function isOfCopy(record: ServerRecord, files: ServerFiles): boolean {
  return record.databaseFile !== files.databaseFile && existsSync(record.databaseFile);
}

export function otherVersions(dataDir: string, version: string): string[] {
  const names = readdirSync(join(dataDir, 'temporal'), { withFileTypes: true });
  return names.filter((entry) => entry.isDirectory() && entry.name !== version).map((entry) => entry.name);
}
