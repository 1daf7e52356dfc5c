// One session, the same for every JavaScript client: what came back goes to stdout as JSON, for judge.py to judge.

/** Where the server is, and how this session goes: {command, args, env} or {url, token}; era; asks. */
export const spec = JSON.parse(process.argv[2]);

const told = { questions: [], progress: [] };
const answers = [{ action: 'accept', content: { ok: true } }, { action: 'decline' }];

/** The person before this client: says yes to the first question and no to the second. */
export function person(request) {
  told.questions.push(request.params.message);
  return answers[told.questions.length - 1] ?? { action: 'cancel' };
}

/** Connects, runs the session, hangs up. `version()` tells the protocol revision, `call` calls a tool. */
export async function main(client, transport, version, call) {
  try {
    await client.connect(transport);
    await session(client, version, call);
  } catch (error) {
    told.error = `${error} (${error.status ?? error.code})`;
  } finally {
    await client.close();
  }
  process.stdout.write(`${JSON.stringify(told)}\n`);
}

async function session(client, version, call) {
  told.version = version();
  told.server = client.getServerVersion();
  told.tools = (await client.listTools()).tools.map((tool) => tool.name);
  told.resources = (await client.listResources()).resources.map((resource) => resource.uri);
  told.templates = (await client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);
  told.prompts = (await client.listPrompts()).prompts.map((prompt) => prompt.name);

  const read = async (uri) => JSON.parse((await client.readResource({ uri })).contents[0].text);
  told.found = await call('search_leads', { assigned_to: 'me', limit: 5 });
  const { columns, rows } = told.found.structuredContent;
  const leads = rows.map((row) => Object.fromEntries(row.map((cell, at) => [columns[at], cell])));
  const ids = leads.map((lead) => lead.lead_id);
  told.read = await read(`lofty://leads/${ids[0]}`);
  told.prompt = (await client.getPrompt({ name: 'lead_brief', arguments: { lead: ids[0] } })).messages;
  told.missing = await call('get_lead', { lead_id: '1' });

  const { tags } = await read('lofty://team/tags');
  told.tag = tags.find((tag) => leads.every((lead) => !lead.tags.includes(tag)));
  const seen = ({ progress, total }) => told.progress.push([progress, total]);
  told.tagged = await call('add_tag', { lead_ids: ids, tags: [told.tag] }, seen);

  const { stages } = await read('lofty://team/stages');
  told.stage = stages.find((stage) => leads.every((lead) => lead.stage !== stage));
  const move = { lead_ids: [ids[0]], stage: told.stage };
  told.moved = [await call('update_stage', move)];
  const { confirmation } = told.moved[0].structuredContent;
  if (confirmation) told.moved.push(await call('update_stage', { ...move, confirmation }));
  else told.declined = await call('update_stage', { ...move, lead_ids: [ids[1]] });
  told.after = [await read(`lofty://leads/${ids[0]}`), await read(`lofty://leads/${ids[1]}`)];
}
