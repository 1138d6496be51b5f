// kill -9 of everything while the calculator runs: the call is run again, and has exactly one result.
import { eventually } from '../support/api-client.ts';
import { cleanUp } from '../support/process.ts';
import { RECOVERY_MS_MAX } from './support/dev-installation.ts';
import { places } from './support/places.ts';

afterAll(cleanUp);

for (const [name, { start, obstacle }] of Object.entries(places))
  (obstacle ? it.skip : it)(
    `a call that a killed worker had begun is run again, and the turn goes on with its one result: ${obstacle ? `${name}, skipped, for ${obstacle}` : name}`,
    async () => {
      const place = await start();
      const session = await place.api().session({ tools: ['calculator'] });
      const path = `/v1/sessions/${session.id}/messages`;
      // Two seconds of work, so that the kill falls into it.
      const content = 'use tool calculator {"expression":"combinations(1e9, 5e8)"}';
      const { body: accepted } = await place.api().post(path, { content, background: true });
      const reply = async () => (await place.api().get(`${path}/${accepted.id}`)).body;
      await eventually(reply, ({ tool_calls }) => tool_calls?.[0]?.status === 'running');

      await place.killAll();

      const done = await eventually(reply, ({ status }) => status === 'completed', RECOVERY_MS_MAX);
      expect(done.tool_calls).toMatchObject([
        {
          name: 'calculator',
          status: 'failed',
          is_error: true,
          result: expect.stringContaining('2 seconds'),
        },
      ]);
      const events = await place.api().events(session.id);
      expect(events.filter(({ type }) => type === 'tool.called')).toHaveLength(1);
      expect(events.filter(({ type }) => type === 'tool.completed')).toHaveLength(1);
      await place.stop();
    },
    3 * RECOVERY_MS_MAX,
  );
