// The tool of these suites' clients: the model looks a key up, and the client finds the same for it every time.
export const TOOL = {
  name: 'look_up',
  description: 'Looks a key up',
  parameters: { type: 'object', properties: { key: { type: 'string' } }, required: ['key'] },
};

/** Words that make the simulator call it, once for each key. */
export const asksFor = (keys: readonly string[]): string =>
  keys.map((key) => `use tool ${TOOL.name} ${JSON.stringify({ key })}`).join(' ');

export const foundFor = (key: string): string => `found:${key}`;

/** Nobody answers it: its time is over soon. */
export const HURRIED = {
  name: 'hurried',
  description: 'Has no time',
  parameters: { type: 'object' },
  timeout_seconds: 1,
};

export const TOOLS = [TOOL, HURRIED];
