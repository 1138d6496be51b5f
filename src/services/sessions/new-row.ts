// The row of a new session: the client's fields, and initial values for the other columns.
import { newId } from '../../ids.ts';
import { EMPTY_CONTENTS, NO_LEASE, NO_USAGE, type SessionRow } from '../../stores/schema.ts';
import { columnsOf, type SessionFields } from './fields.ts';

export function newRow(
  accountId: string,
  fields: SessionFields & Pick<SessionRow, 'model'>,
  now: number,
): SessionRow {
  const empty: SessionRow = {
    id: newId('sess'),
    account_id: accountId,
    parent_session_id: null,
    model: fields.model,
    on_busy: 'queue',
    status: 'active',
    ended_reason: null,
    ended_at: null,
    expires_after_seconds: null,
    expires_at: null,
    created_at: now,
    updated_at: now,
    seq: 0,
    fence: 0,
    next_position: 1,
    message_count: 0,
    deleted_at: null,
    erased_at: null,
    check_at: 0,
    ...EMPTY_CONTENTS,
    ...NO_LEASE,
    ...NO_USAGE,
  };
  return { ...empty, ...columnsOf(fields, empty, now) };
}
