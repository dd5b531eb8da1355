package lab.itrust;

import java.io.IOException;
import java.io.InputStream;
import java.util.Properties;
import javax.servlet.ServletContext;
import javax.servlet.ServletContextEvent;
import javax.servlet.ServletContextListener;

/** Takes its time to start, and keeps what this version is like for the pages. */
public final class Start implements ServletContextListener {
    /** The settings of a version: where the WAR has them. */
    static final String FILE = "/WEB-INF/version.properties";

    @Override
    public void contextInitialized(ServletContextEvent event) {
        Properties told = read(event.getServletContext());
        if (!Boolean.parseBoolean(told.getProperty("starts", "true"))) {
            throw new IllegalStateException("this version never starts");
        }
        try {
            Thread.sleep(seconds(told) * 1000L);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
        event.getServletContext().setAttribute("version", told.getProperty("version"));
        event.getServletContext().setAttribute("healthy", Boolean.parseBoolean(told.getProperty("healthy", "true")));
    }

    @Override
    public void contextDestroyed(ServletContextEvent event) {
    }

    static int seconds(Properties told) {
        int seconds = Integer.parseInt(told.getProperty("start_seconds", "3"));
        if (seconds < 0 || seconds > 60) {
            throw new IllegalArgumentException("start_seconds is " + seconds + ", want 0 to 60");
        }
        return seconds;
    }

    private static Properties read(ServletContext context) {
        Properties told = new Properties();
        try (InputStream file = context.getResourceAsStream(FILE)) {
            told.load(file);
        } catch (IOException error) {
            throw new IllegalStateException(FILE, error);
        }
        return told;
    }
}
