// Reads one frame of a client, with the checks and the words of a request body.
import { ApiError } from '../../contracts/errors.ts';
import {
  FRAME_BODIES,
  type FrameBody,
  FrameEnvelope,
  type FrameType,
  REQUEST_ID_LENGTH_MAX,
} from '../../contracts/frames.ts';
import { parseObject } from '../body.ts';
import { guardJson } from '../json-guard.ts';
import { BODY, parseBody, parseInput } from '../validation.ts';
import type { ReceivedFrame } from './inbox.ts';

/** The calls whose bodies the frames have. */
const OPERATIONS: Partial<Record<FrameType, string>> = {
  message: 'createMessage',
  tool_result: 'submitToolResults',
};

/** A frame whose fields fit its type. */
export type ClientFrame = { [T in FrameType]: { type: T; body: FrameBody<T> } }[FrameType];

export interface Envelope {
  type: FrameType;
  sessionId: string | null;
  /** All others, not looked at yet. */
  fields: Record<string, unknown>;
}

/** Not looked at yet. @throws ApiError `invalid_request` */
export function readObject({ bytes, isBinary }: ReceivedFrame): Record<string, unknown> {
  if (isBinary) throw new ApiError('invalid_request', 'Frames are JSON as text; this one is binary');
  return parseObject(bytes, 'The frame');
}

/** However wrong the rest of the frame is: its sender can tell whose error it gets. */
export function requestIdOf({ request_id: id }: Record<string, unknown>): string | null {
  return typeof id === 'string' && id !== '' && id.length <= REQUEST_ID_LENGTH_MAX ? id : null;
}

/** @throws ApiError `invalid_request` naming the field. */
export function readEnvelope(value: Record<string, unknown>): Envelope {
  guardJson(value, BODY);
  const { type, request_id, session_id, ...fields } = parseInput(FrameEnvelope, value, BODY);
  return { type, sessionId: session_id ?? null, fields };
}

/** @throws ApiError `invalid_request` naming the field. */
export const readFields = ({ type, fields }: Envelope): ClientFrame =>
  // By the schema of this very type.
  ({ type, body: parseBody(FRAME_BODIES[type], fields, OPERATIONS[type]) }) as ClientFrame;
