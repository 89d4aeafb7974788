// SPDX-License-Identifier: MIT OR Apache-2.0
// Compiles a program with the compiler's own library, which knows errors of syntax from errors of types: those of types
// are reported, and the program runs. It becomes modules of the older kind, in which imports need no extension; what
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

// A module that waits, and one that imports such a module, is ready later: it says when, and those that import it wait.
const READY = "$ready";
const later = new Set();

const isCode = (file) => !file.isDeclarationFile && !file.fileName.endsWith(".json");
const isOlder = (file) => isCode(file) && file.impliedNodeFormat !== ts.ModuleKind.ESNext;
const placeOf = (file) => path.resolve(file.fileName);

function importedBy(file, name) {
  const kind = ts.ModuleKind.CommonJS;
  const found = ts.resolveModuleName(name, placeOf(file), options, ts.sys, undefined, undefined, kind).resolvedModule;
  return found && path.resolve(found.resolvedFileName);
}

function findLater(program) {
  const files = program.getSourceFiles().filter(isCode);
  files.filter((file) => file.statements.some(awaits)).forEach((file) => later.add(placeOf(file)));
  const isLater = (file) => {
    const wanted = file.statements.map((one) => !one.importClause?.isTypeOnly && (one.moduleSpecifier ?? one.moduleReference?.expression));
    return wanted.some((name) => name && ts.isStringLiteral(name) && later.has(importedBy(file, name.text)));
  };
  for (let before = 0; before < later.size; ) {
    before = later.size;
    files.filter(isLater).forEach((file) => later.add(placeOf(file)));
  }
}

/** `require` of a module that is ready later. */
function waitForLater(context) {
  const { factory } = context;
  const ready = (call, name) => {
    const isOlderToo = isOlder(program.getSourceFile(name));
    const load = factory.createIdentifier("import");
    // One that waits for this one has not said so yet.
    const wait = factory.createIdentifier(`((made) => made.${READY} ?? made)`);
    return isOlderToo ? factory.createCallExpression(wait, [], [call]) : factory.createCallExpression(load, [], call.arguments);
  };
  const visitor = (file, inside) => (node) => {
    const [name] = ts.isCallExpression(node) && node.expression.escapedText === "require" ? node.arguments : [];
    const found = name && ts.isStringLiteral(name) && importedBy(file, name.text);
    if (later.has(found)) {
      const waits = ready(node, found);
      return inside ? waits : factory.createParenthesizedExpression(factory.createAwaitExpression(waits));
    }
    return ts.visitEachChild(node, visitor(file, inside || ts.isFunctionLike(node)), context);
  };
  return (file) => (later.size > 0 && isOlder(file) ? ts.visitNode(file, visitor(file, false)) : file);
}

// What is imported while the program runs, which the compiler would look for under its whole name alone.
const imported = ts.preProcessFile(fs.readFileSync(source, "utf8")).importedFiles.map((file) => file.fileName);
const near = imported.filter((name) => name.startsWith(".")).map((name) => path.join(path.dirname(source), name + ".ts"));
const program = ts.createProgram([source, ...near.filter((name) => fs.existsSync(name))], options);
const host = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => process.cwd(), getNewLine: () => "\n" };
const found = ts.getPreEmitDiagnostics(program).filter((one) => !given.has(one.code));
process.stderr.write(ts.formatDiagnostics(found, host));
if (program.getSyntacticDiagnostics().length > 0) process.exit(1);
findLater(program);
const emitted = (name, text, mark, onError, files) => {
  const isLater = files?.some((file) => isOlder(file) && later.has(placeOf(file)));
  const begin = `Object.defineProperty(exports, "${READY}", { value: (async () => {`;
  ts.sys.writeFile(name, isLater ? begin + text + "\nreturn exports; })() });\n" : text, mark);
};
program.emit(undefined, emitted, undefined, false, { before: [replaceMeta], after: [waitForLater] });
if (!fs.existsSync(source.replace(/\.ts$/, ".js"))) process.exit(1);
