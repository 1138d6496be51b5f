// The protocols that a WebSocket offers: browsers drop a connection whose answer chooses none of them.
import { refusalOf } from '../support/socket-client.ts';
import { addSession } from './support/fake-services.ts';
import { startHarness } from './support/server.ts';

it.each([[['oclaw-token.a-token']], [['graphql-ws', 'oclaw-token.a-token']]])(
  'a token without our protocol is refused with the reason: %j',
  async (protocols) => {
    const app = await startHarness();
    const url = `${app.url}/v1/sessions/${addSession(app).id}/ws`;
    const { status, body } = await refusalOf(url, { protocols });
    expect([status, body.error.param]).toEqual([400, 'Sec-WebSocket-Protocol']);
    expect(body.error.message).toContain('openclaw.v1');
    await app.close();
  },
);
