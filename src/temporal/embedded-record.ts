// server.json: what the next start has to know of the embedded server, also when this process is killed with -9.

import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RecordedPorts } from './free-ports.ts';
import type { ProcessIdentity } from './process-identity.ts';

const RECORD_FILE = 'server.json';

export interface ServerRecord {
  /** Null after a clean stop; the ports are kept, for people's shells and clients remember them. */
  process: ProcessIdentity | null;
  ports: RecordedPorts & {
    /** Earlier releases: where the server's own UI was, and people opened it. */
    ui?: number;
  };
  /** Equal for servers that are the same but for their ports. */
  fingerprint: string;
  databaseFile: string;
}

export interface ServerFiles {
  directory: string;
  databaseFile: string;
  logFile: string;
}

export const temporalDirectory = (dataDir: string): string => join(dataDir, 'temporal');

/** Each version has its own directory: a newer server changes the database's schema, an older one cannot read it then. */
export function serverFiles(dataDir: string, version: string): ServerFiles {
  const directory = join(temporalDirectory(dataDir), version);
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
  const portIsKnown = Number.isInteger(ports.grpc);
  return processIsKnown && portIsKnown && typeof fingerprint === 'string' && typeof databaseFile === 'string';
}

/** The server of the directory that was copied is in use there and must not be ended from here; a moved one is ours. */
function isOfCopy(record: ServerRecord, files: ServerFiles): boolean {
  return record.databaseFile !== files.databaseFile && existsSync(record.databaseFile);
}

export function otherVersions(dataDir: string, version: string): string[] {
  const names = readdirSync(temporalDirectory(dataDir), { withFileTypes: true });
  return names.filter((entry) => entry.isDirectory() && entry.name !== version).map((entry) => entry.name);
}
