// Where a message was when the process died, as the store and Temporal tell it before anything is started again.
import { Connection } from '@temporalio/client';
import Database from 'better-sqlite3';
import { TEMPORAL_CLI } from '../../../src/temporal/binary.ts';
import { readRecord, serverFiles } from '../../../src/temporal/embedded-record.ts';
import { databaseFileIn } from '../../support/files.ts';

export interface Whereabouts {
  message: string;
  workflowTask: string;
  activity: string;
}

const PENDING_WORKFLOW_TASK = ['none', 'scheduled', 'taken'];
const PENDING_ACTIVITY = ['none', 'scheduled', 'taken', 'cancel requested'];

function messageStatus(dataDir: string, replyId: string): string {
  const database = new Database(databaseFileIn(dataDir), { readonly: true });
  try {
    const row = database
      .prepare('select status, signalled_at from messages where reply_id = ?')
      .get(replyId) as any;
    if (!row) return 'not stored';
    return row.status === 'queued' ? (row.signalled_at === null ? 'not signalled' : 'signalled') : 'opened';
  } finally {
    database.close();
  }
}

/** Reads the data directory of a `dev` that is dead, and asks the Temporal server that it left. */
export async function whereabouts(dataDir: string, sessionId: string, replyId: string): Promise<Whereabouts> {
  const record = readRecord(serverFiles(dataDir, TEMPORAL_CLI.version));
  const connection = await Connection.connect({ address: `127.0.0.1:${record?.ports.grpc}` });
  try {
    const found = await connection.workflowService
      .describeWorkflowExecution({ namespace: 'default', execution: { workflowId: sessionId } })
      .catch(() => null);
    const task = found?.pendingWorkflowTask;
    const activity = found?.pendingActivities?.[0];
    return {
      message: messageStatus(dataDir, replyId),
      workflowTask: found === null ? 'no workflow' : PENDING_WORKFLOW_TASK[task?.state ?? 0]!,
      activity: PENDING_ACTIVITY[activity?.state ?? 0]!,
    };
  } finally {
    await connection.close();
  }
}
