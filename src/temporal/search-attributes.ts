// Makes sure that the server knows our search attributes: somebody else's server, or an embedded one whose database
// is older than an attribute (its command line only counts for a new database).
import { type Connection, isGrpcServiceError } from '@temporalio/client';
import { SEARCH_ATTRIBUTES } from '../../workflows/protocol.ts';

/** Temporal's number for the type Keyword (IndexedValueType). */
const KEYWORD = 2;
const ALREADY_EXISTS = 6;

/** @throws with the command that an operator can run when the server does not let us. */
export async function ensureSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const missing = Object.values(SEARCH_ATTRIBUTES).filter((name) => !(name in (customAttributes ?? {})));
  if (missing.length === 0) return;
  const searchAttributes = Object.fromEntries(missing.map((name) => [name, KEYWORD]));
  try {
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
  } catch (error) {
    if (isGrpcServiceError(error) && error.code === ALREADY_EXISTS) return;
    const flags = missing.map((name) => `--name ${name} --type Keyword`).join(' ');
    throw new Error(
      `Temporal lacks the search attributes ${missing.join(', ')} and did not let OpenClaw add them. ` +
        `Run: temporal operator search-attribute create --namespace ${namespace} ${flags}`,
      { cause: error },
    );
  }
}
