// The interface for people, drawn from the OpenAPI description that the service gives of itself. Needs no network.

const make = (name, text, kind) => {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (kind) node.className = kind;
  return node;
};

const description = await (await fetch("/openapi.json")).json();
const schemas = description.components?.schemas ?? {};
const resolved = (schema) => (schema?.$ref ? schemas[schema.$ref.split("/").pop()] : schema);

// A type in a few words: "integer 1..1000", "list of Hit", "text or null".
function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items) || "anything"}`;
  if (schema.type === "object" && schema.additionalProperties) return `object of ${typeOf(schema.additionalProperties) || "anything"}`;
  const low = schema.minimum ?? schema.minLength, high = schema.maximum ?? schema.maxLength;
  const range = low === undefined && high === undefined ? "" : ` ${low ?? ""}..${high ?? ""}`;
  return `${schema.format === "binary" ? "file" : schema.type ?? "anything"}${range}`;
}

function table(rows) {
  const body = make("table");
  for (const [name, type, needed, text] of rows) {
    const row = body.appendChild(make("tr"));
    row.append(make("th", name), make("td", type), make("td", needed ? "required" : ""), make("td", text ?? ""));
  }
  return body;
}

function fields(schema) {
  const { properties = {}, required = [] } = resolved(schema) ?? {};
  return Object.entries(properties).map(([name, field]) => [name, typeOf(field), required.includes(name), field.description]);
}

function route(path, method, operation) {
  const section = make("section");
  section.append(make("h2", `${method.toUpperCase()} ${path}`), make("p", operation.summary ?? ""));
  if (operation.parameters?.length) {
    section.append(make("h3", "Parameters"));
    section.append(table(operation.parameters.map((one) => [one.name, typeOf(one.schema), one.required, one.description])));
  }
  for (const [kind, content] of Object.entries(operation.requestBody?.content ?? {}))
    section.append(make("h3", `Body, ${kind}`), table(fields(content.schema)));
  for (const [status, answer] of Object.entries(operation.responses ?? {})) {
    section.append(make("h3", `${status} ${answer.description ?? ""}`));
    for (const content of Object.values(answer.content ?? {})) if (content.schema) section.append(table(fields(content.schema)));
  }
  return section;
}

document.querySelector("#title").textContent = `${description.info.title} ${description.info.version}`;
document.querySelector("#about").textContent = description.info.description ?? "";
const routes = document.querySelector("#routes");
for (const [path, methods] of Object.entries(description.paths))
  for (const [method, operation] of Object.entries(methods)) routes.append(route(path, method, operation));
