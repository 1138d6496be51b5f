// A name server that knows this machine only, for tests whose webhooks have addresses of somebody else.
import { type Resolve, resolveName } from '../../src/egress/guard.ts';

export const localNames: Resolve = async (hostname) =>
  hostname === 'localhost' ? resolveName(hostname) : [];
