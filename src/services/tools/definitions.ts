// What a session may define as a tool beyond what the shapes of its fields say: a schema that can be checked in linear time.
import { ApiError } from '../../contracts/errors.ts';
import { type CustomTool, isCustomTool, type ToolEntry } from '../../contracts/tools.ts';
import type { SchemaChecker } from '../../tools/json-schema/checker.ts';

const pathOf = (path: readonly (string | number)[]): string =>
  path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('');

function checkParameters({ parameters }: CustomTool, prefix: string, checker: SchemaChecker): void {
  const fault = checker.faultOf(parameters);
  if (!fault) return;
  const param = `${prefix}parameters${pathOf(fault.path)}`;
  throw new ApiError('invalid_request', `The '${param}' field ${fault.message}`, { param });
}

/** @param prefix Where the entry stands in the request's body, such as `tools[0].`. @throws ApiError naming the field. */
export function checkTool(entry: ToolEntry, prefix: string, checker: SchemaChecker): void {
  if (isCustomTool(entry)) checkParameters(entry, prefix, checker);
}

export function checkTools(entries: ToolEntry[] | undefined, checker: SchemaChecker): void {
  entries?.forEach((entry, index) => {
    checkTool(entry, `tools[${index}].`, checker);
  });
}
