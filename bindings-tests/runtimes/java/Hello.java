// SPDX-License-Identifier: MIT OR Apache-2.0
// Runs one program and prints what it wrote:
// javac -cp jna.jar *.java && java -cp jna.jar:. Hello

public final class Hello {
    public static void main(String[] args) throws java.io.IOException {
        Unsandbox.Result result;
        try (Unsandbox client = new Unsandbox()) {
            result = client.execute("python", "print(6 * 7)");
        }
        System.out.write(result.stdout());
        System.out.flush();
        System.exit(result.exitCode());
    }
}
