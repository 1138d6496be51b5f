// The events of a streamed answer. The SDK's own reader rounds numbers, and drops events that have no `event:` line.
import { APIError } from '@anthropic-ai/sdk';
import { Stream } from '@anthropic-ai/sdk/core/streaming';
import { parseJson } from '../contracts/json.ts';
import { isRecord } from './tool-input.ts';

/** What gateways of another protocol send last. */
const END_MARK = '[DONE]';

/**
 * The parsed data of each event. Data without an `event:` line counts by its own `type`.
 * @throws APIError for an `error` event, SyntaxError for data that is no JSON.
 */
export async function* readEvents(response: Response): AsyncGenerator<unknown> {
  for await (const { event, data } of Stream.rawEvents(response)) {
    if (data === '' || data === END_MARK || event === 'ping') continue;
    const value = event === 'error' ? parsedOrText(data) : parseJson(data);
    if (event === 'error' || (isRecord(value) && value.type === 'error')) throw errorOf(value, response);
    yield value;
  }
}

function parsedOrText(data: string): unknown {
  try {
    return parseJson(data);
  } catch {
    return data;
  }
}

function errorOf(value: unknown, { headers }: Response): APIError {
  const error = isRecord(value) ? value.error : undefined;
  const type = isRecord(error) && typeof error.type === 'string' ? error.type : null;
  return new APIError(undefined, value as object, undefined, headers, type as never);
}
