// Reads one frame of a client, with the checks and error texts of a request body.
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

/** The calls whose bodies the frames share. */
const OPERATIONS: Partial<Record<FrameType, string>> = {
  message: 'createMessage',
  tool_result: 'submitToolResults',
};

/** A frame with valid fields for its type. */
export type ClientFrame = { [T in FrameType]: { type: T; body: FrameBody<T> } }[FrameType];

export interface Envelope {
  type: FrameType;
  sessionId: string | null;
  /** All other fields, not validated yet. */
  fields: Record<string, unknown>;
}

/** Parses without validating the fields. @throws ApiError `invalid_request` */
export function readObject({ bytes, isBinary }: ReceivedFrame): Record<string, unknown> {
  if (isBinary) throw new ApiError('invalid_request', 'Frames are JSON as text; this one is binary');
  return parseObject(bytes, 'The frame');
}

/** Works however wrong the rest of the frame is, so that the client can match the error to its frame. */
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
  // Parsed by the schema of the same type.
  ({ type, body: parseBody(FRAME_BODIES[type], fields, OPERATIONS[type]) }) as ClientFrame;
