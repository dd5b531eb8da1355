/** Starts Hudson's own launcher, which reads no version of Java after 1.8. */
public class Hudson {
    public static void main(String[] words) throws Exception {
        System.setProperty("java.version", "1.8.0_302");
        org.eclipse.hudson.war.Executable.main(words);
    }
}
