// The row of a new session: what the client has set, and the beginning of everything else.
import { stringifyJson } from '../../contracts/json.ts';
import type { CreateSession } from '../../contracts/sessions.ts';
import { newId } from '../../ids.ts';
import { NO_LEASE, NO_USAGE, type SessionRow } from '../../stores/schema.ts';
import { idleDeadline } from '../../turns/attach.ts';
import type { ToolDefinition } from '../tools/definitions.ts';
import { turnOptionsOf } from '../turn-options.ts';

const settingsOf = (body: CreateSession, tools: ToolDefinition[], now: number) => ({
  model: body.model,
  system_prompt: body.system_prompt ?? null,
  tools: stringifyJson(tools.map((tool) => ({ ...tool, created_at: now }))),
  metadata: JSON.stringify(body.metadata ?? {}),
  turn_options: JSON.stringify(turnOptionsOf(body)),
  turn_settings: null,
  on_busy: body.on_busy ?? 'queue',
  expires_after_seconds: body.expires_after_seconds ?? null,
});

export function newRow(
  accountId: string,
  body: CreateSession,
  tools: ToolDefinition[],
  now: number,
): SessionRow {
  const settings = settingsOf(body, tools, now);
  return {
    ...settings,
    id: newId('sess'),
    account_id: accountId,
    parent_session_id: null,
    status: 'active',
    ended_reason: null,
    ended_at: null,
    expires_at: idleDeadline(settings.expires_after_seconds, now),
    created_at: now,
    updated_at: now,
    seq: 0,
    fence: 0,
    head: null,
    open_reply_id: null,
    open_call: null,
    next_position: 1,
    message_count: 0,
    deleted_at: null,
    erased_at: null,
    end_signalled_at: null,
    check_at: 0,
    ...NO_LEASE,
    ...NO_USAGE,
  };
}
