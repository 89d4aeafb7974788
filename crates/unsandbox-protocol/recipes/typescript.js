// SPDX-License-Identifier: MIT OR Apache-2.0
// Compiles a program with the compiler's own library, which knows errors of syntax from errors of types: those of types
// are reported, and the program runs. It becomes a module of the older kind, in which imports need no extension; what
// such a module does not have (`await` outside functions, `import.meta`) is given to it.
const fs = require("fs");
const path = require("path");
const [tsc, source] = process.argv.slice(1);
const tools = path.dirname(fs.realpathSync(tsc));
const ts = require(path.join(tools, "..", "lib", "typescript.js"));

const typeRoots = [path.join(tools, "../../@types"), "/usr/local/lib/node_modules/@types", "/usr/share/nodejs/@types"];
const typeRoot = typeRoots.find((folder) => fs.existsSync(path.join(folder, "node")));
const own = fs.existsSync("tsconfig.json") ? ts.readConfigFile("tsconfig.json", ts.sys.readFile).config : {};
const asked = ts.convertCompilerOptionsFromJson(own?.compilerOptions ?? {}, ".").options;
const kept = ["experimentalDecorators", "emitDecoratorMetadata", "useDefineForClassFields", "strict", "strictNullChecks"];
const options = {
  ...Object.fromEntries(kept.filter((name) => name in asked).map((name) => [name, asked[name]])),
  target: ts.ScriptTarget.ES2022,
  lib: ["lib.es2023.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
  module: ts.ModuleKind.Node16,
  moduleResolution: ts.ModuleResolutionKind.Node16,
  moduleDetection: ts.ModuleDetectionKind.Force,
  esModuleInterop: true,
  resolveJsonModule: true,
  skipLibCheck: true,
  rewriteRelativeImportExtensions: true,
  types: typeRoot ? ["node"] : [],
  ...(typeRoot && { typeRoots: [typeRoot] }),
};
// The compiler refuses in older modules: await, for await, import.meta, and imports of newer ones, which node can load.
const given = new Set([1309, 1378, 1432, 1343, 1470, 1479, 2834, 2835]);

function awaits(node) {
  if (ts.isFunctionLike(node) || ts.isClassLike(node)) return false;
  if (ts.isVariableDeclarationList(node) && (node.flags & ts.NodeFlags.AwaitUsing) === ts.NodeFlags.AwaitUsing) return true;
  if (ts.isAwaitExpression(node) || (ts.isForOfStatement(node) && node.awaitModifier)) return true;
  return ts.forEachChild(node, (child) => awaits(child) || undefined) ?? false;
}

/** `import("./util")` finds no file without its extension; `require` does, and knows what is compiled here. */
function isRelativeImport(node) {
  const [first] = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword ? node.arguments : [];
  return first && ts.isStringLiteral(first) && /^\.\.?\/(.*\/)?[^./]+(\.[jt]s)?$/.test(first.text);
}

/** `import.meta.url` and its like, and relative imports, from what an older module knows. */
function replaceMeta(context) {
  const { factory } = context;
  const names = { dirname: "__dirname", filename: "__filename", url: "require(\"url\").pathToFileURL(__filename).href" };
  const visit = (node) => {
    const isMeta = ts.isPropertyAccessExpression(node) && ts.isMetaProperty(node.expression);
    if (isMeta && names[node.name.text]) return factory.createIdentifier(names[node.name.text]);
    if (isRelativeImport(node)) {
      const name = node.arguments[0].text.replace(/\.ts$/, ".js");
      const require = factory.createCallExpression(factory.createIdentifier("require"), [], [factory.createStringLiteral(name)]);
      const arrow = factory.createArrowFunction([], [], [], undefined, undefined, require);
      const then = factory.createPropertyAccessExpression(factory.createIdentifier("Promise.resolve()"), "then");
      return factory.createCallExpression(then, [], [arrow]);
    }
    return ts.visitEachChild(node, visit, context);
  };
  return (file) => (file.impliedNodeFormat === ts.ModuleKind.ESNext ? file : ts.visitNode(file, visit));
}

// What is imported while the program runs, which the compiler would look for under its whole name alone.
const imported = ts.preProcessFile(fs.readFileSync(source, "utf8")).importedFiles.map((file) => file.fileName);
const near = imported.filter((name) => name.startsWith(".")).map((name) => path.join(path.dirname(source), name + ".ts"));
const program = ts.createProgram([source, ...near.filter((name) => fs.existsSync(name))], options);
const host = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => process.cwd(), getNewLine: () => "\n" };
const found = ts.getPreEmitDiagnostics(program).filter((one) => !given.has(one.code));
process.stderr.write(ts.formatDiagnostics(found, host));
if (program.getSyntacticDiagnostics().length > 0) process.exit(1);
program.emit(undefined, undefined, undefined, false, { before: [replaceMeta] });
const made = source.replace(/\.ts$/, ".js");
if (!fs.existsSync(made)) process.exit(1);
const main = program.getSourceFile(source);
if (main.impliedNodeFormat !== ts.ModuleKind.ESNext && main.statements.some(awaits)) {
  fs.writeFileSync(made, `(async () => {${fs.readFileSync(made, "utf8")}\n})();\n`);
}
