// server.json: the record of the embedded server for the next start, also after a kill -9 of this process.

import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RecordedPorts } from './free-ports.ts';
import type { ProcessIdentity } from './process-identity.ts';

const RECORD_FILE = 'server.json';

export interface ServerRecord {
  /** Null after a clean stop. The ports stay, because shells and clients remember them. */
  process: ProcessIdentity | null;
  ports: RecordedPorts & {
    /** Written by earlier releases: the port of the server's own UI, which people opened directly. */
    ui?: number;
  };
  /** Equal for servers that differ only in their ports. */
  fingerprint: string;
  databaseFile: string;
}

export interface ServerFiles {
  directory: string;
  databaseFile: string;
  logFile: string;
}

export const temporalDirectory = (dataDir: string): string => join(dataDir, 'temporal');

/** Each version has its own directory: a newer server changes the schema, and an older server can't read it afterwards. */
export function serverFiles(dataDir: string, version: string): ServerFiles {
  const directory = join(temporalDirectory(dataDir), version);
  return { directory, databaseFile: join(directory, 'temporal.db'), logFile: join(directory, 'server.log') };
}

/** Synchronous, so nothing happens between starting a server and recording it. */
export function writeRecord(directory: string, record: ServerRecord): void {
  const path = join(directory, RECORD_FILE);
  writeFileSync(`${path}.new`, `${JSON.stringify(record, null, 2)}\n`);
  renameSync(`${path}.new`, path);
}

/** @returns null if the record is missing, damaged or part of a copied data directory. */
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

/** After a copy, the recorded server still serves the original directory and must not be ended. After a move, it is ours. */
function isOfCopy(record: ServerRecord, files: ServerFiles): boolean {
  return record.databaseFile !== files.databaseFile && existsSync(record.databaseFile);
}

export function otherVersions(dataDir: string, version: string): string[] {
  const names = readdirSync(temporalDirectory(dataDir), { withFileTypes: true });
  return names.filter((entry) => entry.isDirectory() && entry.name !== version).map((entry) => entry.name);
}
