package lab.itrust;

import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Properties;
import org.junit.Test;

public class VersionTest {
    /** A version whose file says `tests=fail` does not get through its build. */
    @Test
    public void versionSaysWhatItIs() throws IOException {
        Properties told = new Properties();
        try (InputStream file = Files.newInputStream(Paths.get("WebRoot" + Start.FILE))) {
            told.load(file);
        }
        assertTrue(told.getProperty("version", "").matches("v[0-9]+(-[a-z]+)?"));
        assertTrue(Start.seconds(told) <= 60);
        assertTrue("tests=" + told.getProperty("tests"), !"fail".equals(told.getProperty("tests")));
    }
}
