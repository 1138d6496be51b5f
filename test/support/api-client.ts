// Raw HTTP for tests: what a client without any SDK would do.
export interface Answer<T = any> {
  status: number;
  headers: Headers;
  body: T;
}

export type ApiClient = ReturnType<typeof createApiClient>;

export interface SseFrame {
  id: number | null;
  event: string;
  data: any;
}

/** JSON, or the frames of a stream that is read to its end. */
async function read(response: Response): Promise<any> {
  if (response.headers.get('content-type')?.startsWith('text/event-stream') && response.body) {
    const frames: SseFrame[] = [];
    for await (const frame of readFrames(response.body)) frames.push(frame);
    return frames;
  }
  const text = await response.text();
  return text === '' ? null : JSON.parse(text);
}

export function createApiClient(baseUrl: string, key: string) {
  async function call(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    signal?: AbortSignal,
  ): Promise<Answer> {
    const response = await fetch(baseUrl + path, {
      method,
      ...(signal ? { signal } : {}),
      headers: {
        Authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, body: await read(response) };
  }

  const created = async (answer: Promise<Answer>) => {
    const { status, body } = await answer;
    if (status >= 300) throw new Error(`${status} ${JSON.stringify(body)}`);
    return body;
  };

  return {
    key,
    call,
    get: (path: string, headers?: Record<string, string>) => call('GET', path, undefined, headers),
    post: (path: string, body?: unknown, headers?: Record<string, string>) =>
      call('POST', path, body, headers),
    patch: (path: string, body: unknown) => call('PATCH', path, body),
    delete: (path: string) => call('DELETE', path),
    session: (fields: Record<string, unknown> = {}) =>
      created(call('POST', '/v1/sessions', { model: 'claude-haiku', ...fields })),
    send: (sessionId: string, content: unknown, fields: Record<string, unknown> = {}) =>
      created(call('POST', `/v1/sessions/${sessionId}/messages`, { content, ...fields })),
    /** Every event of the session's log. */
    async events(sessionId: string): Promise<any[]> {
      const all: any[] = [];
      for (;;) {
        const page = await created(
          call('GET', `/v1/sessions/${sessionId}/events?limit=100&after=${all.at(-1)?.seq ?? 0}`),
        );
        all.push(...page.data);
        if (!page.has_more) return all;
      }
    },
    /** Frames of a streamed message, as they come. */
    async *stream(
      sessionId: string,
      content: unknown,
      fields: Record<string, unknown> = {},
      headers: Record<string, string> = {},
    ): AsyncGenerator<SseFrame> {
      const response = await fetch(`${baseUrl}/v1/sessions/${sessionId}/messages`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json', ...headers },
        body: JSON.stringify({ content, stream: true, ...fields }),
      });
      if (response.status !== 200 || !response.body)
        throw new Error(`${response.status} ${await response.text()}`);
      yield* readFrames(response.body);
    },
    /** Frames of the session's log, as they come. */
    async *follow(
      sessionId: string,
      query = '',
      headers: Record<string, string> = {},
    ): AsyncGenerator<SseFrame> {
      const response = await fetch(`${baseUrl}/v1/sessions/${sessionId}/events${query}`, {
        headers: { Authorization: `Bearer ${key}`, Accept: 'text/event-stream', ...headers },
      });
      if (response.status !== 200 || !response.body)
        throw new Error(`${response.status} ${await response.text()}`);
      yield* readFrames(response.body);
    },
  };
}

/** Splits a byte stream into SSE frames; comments are left out. */
export async function* readFrames(body: ReadableStream<Uint8Array>): AsyncGenerator<SseFrame> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    const parts = text.split('\n\n');
    text = parts.pop() ?? '';
    for (const part of parts) {
      const fields = new Map(
        part.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
      const data = fields.get('data');
      if (data !== undefined)
        yield {
          id: fields.has('id') ? Number(fields.get('id')) : null,
          event: fields.get('event') ?? '',
          data: JSON.parse(data),
        };
    }
  }
}

/** Asks until the answer satisfies; the condition is the clock, the deadline only ends a broken test. */
export async function eventually<T>(
  ask: () => Promise<T>,
  satisfied: (value: T) => boolean,
  timeoutMs = 25_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await ask();
    if (satisfied(value)) return value;
    if (Date.now() > deadline)
      throw new Error(`Never came true; last seen: ${JSON.stringify(value)?.slice(0, 2_000)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
