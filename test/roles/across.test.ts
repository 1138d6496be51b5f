// Two `api` and two `worker` processes: what one of them is told, the others know.
import { type Deployment, startDeployment } from '../support/deployment.ts';
import { cleanUp } from '../support/process.ts';

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment();
}, 90_000);
afterAll(async () => {
  await deployment?.stop();
  await cleanUp();
}, 60_000);

const clients = () => deployment.apis().map(({ client }) => client);

it('a session that one api made is spoken to through the other, and read back through both', async () => {
  const [one, two] = clients();
  const session = await one!.session();
  const reply = await two!.send(session.id, 'Hello');
  expect(reply).toMatchObject({ status: 'completed', error: null });
  for (const client of clients())
    expect((await client.get(`/v1/sessions/${session.id}/messages/${reply.id}`)).body).toEqual(reply);
});

it('all of them, started at once on an empty database, have made one admin key', async () => {
  const { body } = await deployment.api().get('/v1/api-keys');
  expect(body.data).toHaveLength(1);
});
