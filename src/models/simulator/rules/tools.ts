// Checks tool definitions like the API.
import { isRecord } from '../../tool-input.ts';
import { RefusedError, refuse } from '../refused.ts';
import { checkInputSchema } from './input-schema.ts';

const NAME = /^[a-zA-Z0-9_-]{1,128}$/;

/** @throws {RefusedError} */
export function checkTools(tools: unknown): void {
  if (tools === undefined) return;
  if (!Array.isArray(tools)) refuse('tools', 'Input should be a valid list');
  for (const [index, tool] of tools.entries()) checkTool(tool, `tools.${index}.custom`);
  const names = tools.map((tool) => String(tool.name));
  if (new Set(names).size !== names.length) throw new RefusedError(400, 'tools: Tool names must be unique.');
}

function checkTool(tool: unknown, place: string): void {
  if (!isRecord(tool)) refuse(place, 'Input should be a valid dictionary');
  if (!NAME.test(String(tool.name ?? '')))
    refuse(`${place}.name`, "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'");
  if (tool.description !== undefined && typeof tool.description !== 'string')
    refuse(`${place}.description`, 'Input should be a valid string');
  // Tools run by the provider have a type of their own and no schema.
  if (tool.type !== undefined && tool.type !== 'custom') return;
  checkInputSchema(tool.input_schema, `${place}.input_schema`);
}
