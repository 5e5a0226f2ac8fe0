// Custom resources against the definitions of their kinds: node custom-resources.mjs FILE…
//
// Two looks at each: by the schema (values, what is required), and by the types, as schemas let fields pass that do not exist.
// Then each kind is shown with a field that does not exist and without what it needs, and has to be refused.

import { readFileSync } from "node:fs";
import ts from "typescript";
import { parseAllDocuments } from "yaml";
import { HTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1";
import { PodMonitor, PrometheusRule, ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const KINDS = {
  HTTPRoute: [HTTPRoute, "gateway-api/gateway.networking.k8s.io/v1"],
  PodMonitor: [PodMonitor, "prometheus-operator/monitoring.coreos.com/v1"],
  PrometheusRule: [PrometheusRule, "prometheus-operator/monitoring.coreos.com/v1"],
  ScaledObject: [ScaledObject, "keda/keda.sh/v1alpha1"],
  ServiceMonitor: [ServiceMonitor, "prometheus-operator/monitoring.coreos.com/v1"],
};

// Kinds of Kubernetes itself, which others look at.
const CORE = /^(v1|apps\/v1|autoscaling\/v2|batch\/v1|networking\.k8s\.io\/v1|policy\/v1)$/;

/** What is wrong with an object by its schema: a sentence or nothing. */
function bySchema(object) {
  try {
    new KINDS[object.kind][0](object).validate();
    return undefined;
  } catch (error) {
    return error.message;
  }
}

/** What is wrong with each of these objects by its type, at its place; in one run of the compiler, which takes a second or two. */
function byType(objects) {
  const name = new URL("objects.ts", import.meta.url).pathname;
  const imports = Object.entries(KINDS).map(([kind, [, path]]) => `import type { I${kind} } from "@kubernetes-models/${path}";`);
  const lines = [imports.join(" "), ...objects.map((object, n) => `export const o${n}: I${object.kind} = ${JSON.stringify(object)};`)];
  const options = { strict: true, noEmit: true, skipLibCheck: true, types: [] };
  Object.assign(options, { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext });
  const host = ts.createCompilerHost(options);
  const [readSource, exists] = [host.getSourceFile, host.fileExists];
  host.fileExists = (path) => path === name || exists(path);
  host.getSourceFile = (path, ...rest) =>
    path === name ? ts.createSourceFile(path, lines.join("\n"), ...rest) : readSource(path, ...rest);
  const found = [];
  for (const { file, start, messageText } of ts.getPreEmitDiagnostics(ts.createProgram([name], options, host))) {
    const line = file?.fileName === name ? file.getLineAndCharacterOfPosition(start).line : 0;
    const text = ts.flattenDiagnosticMessageText(messageText, " ");
    if (line === 0) throw new Error(text);
    found[line - 1] = text;
  }
  return found;
}

const objects = process.argv.slice(2).flatMap((file) =>
  parseAllDocuments(readFileSync(file, "utf8"))
    .map((document) => document.toJS())
    .filter((object) => object && !CORE.test(object.apiVersion))
    .map((object) => ({ file, object })),
);
const problems = [];
const say = (file, { kind, metadata }, text) => problems.push(`${file}: ${kind} ${metadata.name}: ${text}`);

const known = objects.filter(({ file, object }) => {
  if (!(object.kind in KINDS)) say(file, object, `there is no definition of ${object.apiVersion}`);
  return object.kind in KINDS;
});
const kinds = [...new Map(known.map(({ object }) => [object.kind, object])).values()];
const strange = kinds.map((object) => ({ ...object, spec: { ...object.spec, noSuchField: 1 } }));
const faults = byType([...known.map(({ object }) => object), ...strange]);
known.forEach(({ file, object }, n) => {
  for (const fault of [bySchema(object), faults[n]]) if (fault) say(file, object, fault);
});
strange.forEach((object, n) => {
  if (!faults[known.length + n]) say("self-test", object, "a field that does not exist is not noticed");
});
for (const object of kinds) {
  if (!bySchema({ ...object, spec: "nothing" })) say("self-test", object, "a spec that is none is not noticed");
}

for (const problem of problems) console.error(problem);
console.log(`${known.length} custom resources of ${kinds.length} kinds`);
process.exitCode = problems.length ? 1 : 0;
