// Features in the API reference that this version lacks. Requests for them get an error with the feature's name instead of
// "unknown". Remove an entry in the change that builds its feature: `test/http/not-yet.test.ts` fails while an outdated entry
// remains.

/** A field by its path, with `[]` for each item of a list. With `values`, only these values of the field are missing. */
export interface MissingField {
  path: string;
  values?: readonly string[];
}

const fields = (...paths: string[]): MissingField[] => paths.map((path) => ({ path }));

const TOOL_FIELDS: MissingField[] = [
  { path: 'type', values: ['mcp'] },
  ...fields('config', 'permission', 'approval', 'idempotency'),
];

const MESSAGE_FIELDS: MissingField[] = [
  { path: 'content[].type', values: ['image', 'document', 'file'] },
  ...fields('files', 'response_format', 'parent_id', 'send_at'),
];

const within = (prefix: string, missing: readonly MissingField[]): MissingField[] =>
  missing.map((field) => ({ ...field, path: `${prefix}.${field.path}` }));

const SESSION_FIELDS: MissingField[] = [
  ...fields('fallback_models', 'response_format', 'budget', 'memory'),
  ...within('tools[]', TOOL_FIELDS),
];

/** By `operationId`: fields of a body, or parameters of a query. */
export const MISSING_FIELDS: Readonly<Record<string, readonly MissingField[]>> = {
  createSession: [
    ...SESSION_FIELDS,
    { path: 'message[].type', values: ['image', 'document', 'file'] },
    ...within('message', MESSAGE_FIELDS),
  ],
  updateSession: SESSION_FIELDS,
  listSessions: fields('q', 'phase', 'has_error'),
  createMessage: MESSAGE_FIELDS,
  listMessages: fields('branch'),
  createTool: TOOL_FIELDS,
  createApiKey: fields('budget', 'expires_at', 'rate_limit_per_minute', 'allowed_ips'),
  createClientToken: [{ path: 'scopes[]', values: ['decide'] }],
};

export interface MissingRoute {
  /** The feature's name in the error message. */
  name: string;
  /** In the syntax of routes. `{/*rest}` stands for everything below. */
  path: string;
  /** Absent: every method of the path. */
  method?: 'post' | 'get' | 'patch';
}

const SESSION = '/v1/sessions/:sessionId';

export const MISSING_ROUTES: readonly MissingRoute[] = [
  ...['fork', 'rewind', 'branches', 'compact', 'export', 'files'].map((name) => ({
    name,
    path: `${SESSION}/${name}`,
  })),
  { name: 'import', path: '/v1/sessions/import', method: 'post' },
  { name: 'regenerate', path: `${SESSION}/messages/:messageId/regenerate` },
  { name: 'decision', path: `${SESSION}/tool-calls/:toolCallId/decision` },
  { name: 'PATCH /v1/api-keys/:id', path: '/v1/api-keys/:keyId', method: 'patch' },
  { name: 'rotate', path: '/v1/api-keys/:keyId/rotate' },
  ...['account', 'audit-log', 'whoami', 'events', 'batches', 'usage'].map((name) => ({
    name,
    path: `/v1/${name}`,
  })),
  ...['files', 'memory-stores', 'knowledge-bases', 'schedules', 'hooks'].map((name) => ({
    name,
    path: `/v1/${name}{/*rest}`,
  })),
  { name: 'dashboard', path: '/dashboard{/*rest}' },
  { name: 'docs', path: '/docs' },
  { name: 'metrics', path: '/metrics' },
  { name: 'codec', path: '/temporal/codec/decode' },
];

export const notInThisVersion = (name: string): string => `'${name}' isn't available in this version`;
