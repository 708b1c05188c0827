/** The least that a Java machine runs. */
public class Hello {
    public static void main(String[] arguments) {
        System.out.println(1);
    }
}
