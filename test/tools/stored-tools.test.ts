// Tools as a session's row keeps them: each schema as JSON of its own, which most readers of the row never parse.
import { createToolRegistry } from '../../src/tools/registry.ts';
import { createToolView, toolsOf } from '../../src/views/tools.ts';

const row = (tools: unknown[] | string) => ({
  tools: typeof tools === 'string' ? tools : JSON.stringify(tools),
  created_at: 7,
});

const view = createToolView(createToolRegistry([]));

test('reading the row parses no schema', () => {
  const tool = { name: 'a', description: 'A', parameters_json: '{ no JSON', created_at: 8 };
  expect(toolsOf(row([tool]))).toEqual([tool]);
});

test('a row of an earlier version is read as well, with the digits of its numbers', () => {
  const parameters = '{"properties":{"x":{"const":1.10,"maximum":12345678901234567890}}}';
  const tools = toolsOf(row(`["calculator",{"name":"a","description":"A","parameters":${parameters}}]`));
  expect(tools).toEqual([
    { name: 'calculator', created_at: 7 },
    { name: 'a', description: 'A', parameters_json: parameters, created_at: 7 },
  ]);
});

test('a tool is shown with its schema', () => {
  const [tool] = toolsOf(row([{ name: 'a', description: 'A', parameters_json: '{"title":"T"}' }]));
  expect(tool && view(tool)).toMatchObject({ name: 'a', type: 'custom', parameters: { title: 'T' } });
  const [old] = toolsOf(row([{ name: 'a', description: 'A' }]));
  expect(old && view(old)).toMatchObject({ parameters: { type: 'object', properties: {} } });
});
